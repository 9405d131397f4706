import type { Prng } from '../../src/lib/prng.ts';
import type { Ballot } from '../../src/protocol/register/ballot.ts';
import type { RegisterReply, RegisterRequest } from '../../src/protocol/register/request.ts';
import type { Condition } from '../../src/protocol/register/value.ts';
import type { LabelCondition, Outcome, RegisterOperation } from './linearizable-register.ts';
import type { RegisterCluster } from './register-cluster.ts';

const encoder = new TextEncoder();
const decoder = new TextDecoder();

const UNKNOWN_MAX = 12;
export const BUCKET = 'b';

/** Longer than any reply may take: a request lives for 1.5 s, and a message that is late does not count. */
const REPLY_MAX_MS = 2000;

export function putOf(key: string, label: string, condition: Condition = { type: 'none' }): RegisterRequest {
  const content = { bytes: encoder.encode(label), contentType: 'text/plain', expiresAtMs: null };
  return { type: 'strong-put', bucket: BUCKET, key, content, condition };
}

export function deleteOf(key: string, condition: Condition = { type: 'none' }): RegisterRequest {
  return { type: 'strong-delete', bucket: BUCKET, key, condition };
}

export function getOf(key: string): RegisterRequest {
  return { type: 'strong-get', bucket: BUCKET, key };
}

export function labelIn(content: { readonly bytes: Uint8Array } | null): string | null {
  return content === null ? null : decoder.decode(content.bytes);
}

/** Clients that read, write and delete some keys through any node, one request at a time each, and remember it all. */
export class RegisterClients {
  readonly histories = new Map<string, RegisterOperation[]>();
  readonly complaints: string[] = [];
  stopped = false;
  private readonly cluster: RegisterCluster;
  private readonly prng: Prng;
  private readonly versions = new Map<string, Ballot>();
  private labels = 0;
  private readonly thinkMaxMs: number;

  constructor(
    cluster: RegisterCluster,
    { keys, clients, thinkMaxMs }: { keys: number; clients: number; thinkMaxMs: number },
  ) {
    this.cluster = cluster;
    this.prng = cluster.prng;
    this.thinkMaxMs = thinkMaxMs;
    for (let key = 0; key < keys; key++) this.histories.set(`k${key}`, []);
    for (let client = 0; client < clients; client++) this.step(`c${client}`);
  }

  /** A last read of each key, through any node. */
  readAll(): void {
    for (const key of this.histories.keys()) this.perform('last', key, { type: 'get' }, getOf(key), () => {});
  }

  private step(client: string): void {
    const key = this.prng.pick([...this.histories.keys()]) as string;
    const next = (): void => {
      if (!this.stopped) this.cluster.after(this.prng.below(this.thinkMaxMs), () => this.stopped || this.step(client));
    };
    // Too many changes of which nobody knows whether they were made, and anything could be explained.
    const unknown = this.histories
      .get(key)
      ?.filter((each) => each.outcome.type === 'unknown' && each.action.type === 'change');
    if (this.prng.chance(0.4) || (unknown?.length ?? 0) > UNKNOWN_MAX) {
      this.perform(client, key, { type: 'get' }, getOf(key), next);
      return;
    }
    const label = this.prng.chance(0.35) ? null : `${key}-${++this.labels}`;
    const condition = this.conditionFor(key);
    const action = { type: 'change', label, condition } as const;
    const asked = this.conditionOf(condition);
    this.perform(client, key, action, label === null ? deleteOf(key, asked) : putOf(key, label, asked), next);
  }

  private conditionFor(key: string): LabelCondition {
    const known = [...this.versions.keys()].filter((label) => label.startsWith(`${key}-`)).slice(-2);
    const label = this.prng.pick(known);
    const type = this.prng.pick(['none', 'none', 'absent', 'present', 'label'] as const) ?? 'none';
    return type !== 'label' ? { type } : label === undefined ? { type: 'absent' } : { type, label };
  }

  private conditionOf(condition: LabelCondition): Condition {
    if (condition.type !== 'label') return { type: condition.type };
    return { type: 'version', version: this.versions.get(condition.label) as Ballot };
  }

  private perform(
    client: string,
    key: string,
    action: RegisterOperation['action'],
    request: RegisterRequest,
    next: () => void,
  ): void {
    const node = this.prng.pick(this.cluster.running);
    if (node === undefined) {
      next();
      return;
    }
    const invokedMs = this.cluster.nowMs;
    const operation: RegisterOperation = {
      client,
      invokedMs,
      returnedMs: Number.POSITIVE_INFINITY,
      action,
      outcome: { type: 'unknown' },
    };
    this.histories.get(key)?.push(operation);
    this.cluster.request(node, request, (reply) => {
      operation.outcome = this.outcomeOf(action, reply);
      if (operation.outcome.type !== 'unknown') operation.returnedMs = this.cluster.nowMs;
      const tookMs = this.cluster.nowMs - invokedMs;
      if (tookMs > REPLY_MAX_MS) this.complaints.push(`a reply took ${tookMs} ms`);
      next();
    });
  }

  private outcomeOf(action: RegisterOperation['action'], reply: RegisterReply | undefined): Outcome {
    if (reply === undefined) return { type: 'unknown' };
    switch (reply.type) {
      case 'failed':
        return { type: reply.failure.stateChanged === 'no' && action.type !== 'get' ? 'failed' : 'unknown' };
      case 'strong-get':
        this.note(labelIn(reply.content), reply.version);
        return { type: 'shown', label: labelIn(reply.content) };
      case 'strong-change':
        if (reply.applied) {
          if (action.type === 'change') this.note(action.label, action.label === null ? null : reply.version);
          return { type: 'applied' };
        }
        this.note(labelIn(reply.content), reply.version);
        return { type: 'not-applied', label: labelIn(reply.content) };
    }
  }

  /** A value has one version for ever. */
  private note(label: string | null, version: Ballot | null): void {
    if ((label === null) !== (version === null)) this.complaints.push(`${label} has the version ${text(version)}`);
    if (label === null || version === null) return;
    const known = this.versions.get(label);
    if (known === undefined) this.versions.set(label, version);
    else if (text(known) !== text(version)) this.complaints.push(`${label}: ${text(known)} became ${text(version)}`);
  }
}

function text(version: Ballot | null): string {
  return version === null ? 'none' : `${version.counter}.${version.proposer}`;
}
