import fc from 'fast-check';
import { FAILURE_CODES, type Failure, type FailureCode } from '../../src/lib/failure.ts';

/** What messages of all kinds are made of. */

export const shard = fc.oneof(fc.nat(65_535), fc.integer({ min: 0, max: 2 ** 48 - 1 }));
/** Whole code points of up to four UTF-8 bytes; lone surrogates have no UTF-8 form. */
export const text = (lengthMax: number): fc.Arbitrary<string> =>
  fc.string({ unit: 'binary', maxLength: Math.floor(lengthMax / 4) });
export const actor = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((value) => value.toString(16).padStart(16, '0'));
export const bucket = fc.oneof(
  fc.stringMatching(/^[a-z0-9][a-z0-9._-]{0,62}$/),
  fc.stringMatching(/^[a-z0-9][a-z0-9._-]{0,62}~[1-9a-z][0-9a-z]{0,4}$/),
);
export const key = fc.string({ unit: 'binary', minLength: 1, maxLength: 256 });
export const failure: fc.Arbitrary<Failure> = fc.record({
  code: fc.constantFrom(...(Object.keys(FAILURE_CODES) as FailureCode[])),
  message: text(2048),
  stateChanged: fc.constantFrom('no' as const, 'maybe' as const),
});
