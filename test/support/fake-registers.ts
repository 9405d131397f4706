import type { Ballot } from '../../src/protocol/register/ballot.ts';
import type { RegisterReply, RegisterRequest } from '../../src/protocol/register/request.ts';
import { holds, type RegisterValue, type Shown, shown } from '../../src/protocol/register/value.ts';

const PROPOSER = '00000000000000aa';

/** Strong buckets of a cluster of one, in memory. */
export class FakeRegisters {
  private readonly values = new Map<string, RegisterValue>();
  private counter = 0;

  answer(request: RegisterRequest, wallMs: number): Exclude<RegisterReply, { type: 'failed' }> {
    const id = JSON.stringify([request.bucket, request.key]);
    const before: Shown = shown(this.values.get(id) ?? null, wallMs);
    if (request.type === 'strong-get') return { type: 'strong-get', ...before };
    if (!holds(request.condition, before)) return { type: 'strong-change', applied: false, ...before };
    const version: Ballot = { counter: ++this.counter, proposer: PROPOSER };
    const base = { counter: this.counter - 1, proposer: PROPOSER };
    if (request.type === 'strong-put') {
      this.values.set(id, { version, base, content: request.content });
      return { type: 'strong-change', applied: true, version };
    }
    this.values.delete(id);
    return { type: 'strong-change', applied: true, version: before.version === null ? null : version };
  }

  forget(): void {
    this.values.clear();
  }
}
