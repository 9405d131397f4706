import { expect, it } from 'vitest';
import { CausalContext } from '../../../../src/protocol/causal/context.ts';
import { coversSession } from '../../../../src/protocol/replication/read-coordinator.ts';

const WRITTEN = { actor: 'a'.repeat(16), counter: 2 };
const REPLACED = { actor: 'a'.repeat(16), counter: 1 };
const payload = { kind: 'register', value: new Uint8Array(), contentType: '' } as const;
const session = CausalContext.fromDots([WRITTEN, REPLACED]);

const copy = (dot: typeof WRITTEN, context: CausalContext, past: CausalContext | null) => {
  return { entries: [{ dot, hlc: 1, expiresAtMs: 0, payload }], context, past };
};

it('takes an entry for its event, unless the copy may not know all that it had replaced', () => {
  const before = copy(REPLACED, CausalContext.fromDots([REPLACED]), null);
  expect(coversSession([before, copy(WRITTEN, new CausalContext(), null)], session)).toBe(true);
  // A replica that was rebuilt from a damaged disk: it shows what was written, beside what that had replaced.
  const shown = CausalContext.fromDots([WRITTEN]);
  expect(coversSession([before, copy(WRITTEN, shown, shown)], session)).toBe(false);
});
