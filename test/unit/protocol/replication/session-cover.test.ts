import { expect, it } from 'vitest';
import { CausalContext, NOTHING } from '../../../../src/protocol/causal/context.ts';
import { sessionOf } from '../../../../src/protocol/replication/request.ts';
import { coversSession } from '../../../../src/protocol/replication/session-cover.ts';

const WRITTEN = { actor: 'a'.repeat(16), counter: 2 };
const REPLACED = { actor: 'a'.repeat(16), counter: 1 };
const payload = { kind: 'register', value: new Uint8Array(), contentType: '' } as const;
const context = CausalContext.fromDots([WRITTEN, REPLACED]);
const written = CausalContext.fromDots([WRITTEN]);
const session = sessionOf(context);

const copy = (dot: typeof WRITTEN, seen: CausalContext, past: CausalContext | null = null, bare = NOTHING) => {
  return { entries: [{ dot, hlc: 1, expiresAtMs: 0, payload }], context: seen, past, bare };
};

const before = copy(REPLACED, CausalContext.fromDots([REPLACED]));
/** Of a replica that was rebuilt from a damaged disk: it shows what was written, beside what that had replaced. */
const damaged = copy(WRITTEN, written, null, written);

it('takes an entry for its event, unless the copy may not know all that it had replaced', () => {
  expect(coversSession([before, copy(WRITTEN, new CausalContext())], session)).toBe(true);
  expect(coversSession([before, copy(WRITTEN, written, written)], session)).toBe(false);
  expect(coversSession([before, damaged], session)).toBe(false);
});

it('takes a bare entry for what it is, where the session has seen it as that', () => {
  expect(coversSession([before, damaged], { context, bare: written })).toBe(true);
  expect(coversSession([damaged], { context: written, bare: written })).toBe(true);
  expect(coversSession([before], { context, bare: written })).toBe(false);
  expect(coversSession([damaged], { context, bare: written })).toBe(false);
  // Another has it as it is, or has replaced it since.
  expect(coversSession([copy(WRITTEN, context)], { context, bare: written })).toBe(true);
  const next = { actor: 'b'.repeat(16), counter: 1 };
  const all = CausalContext.fromDots([next, WRITTEN, REPLACED]);
  expect(coversSession([copy(next, all, written)], { context, bare: written })).toBe(true);
});
