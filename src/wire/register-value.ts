import { VALUE_BYTES_MAX } from '../protocol/causal/entry.ts';
import { type Ballot, COUNTER_MAX, NO_BALLOT } from '../protocol/register/ballot.ts';
import type { Accepted, AcceptorRow } from '../protocol/register/record.ts';
import type { RegisterContent, RegisterValue } from '../protocol/register/value.ts';
import { boolean, bytes, type Codec, integer, mapped, nullable, record } from './codec.ts';
import { recurring } from './recurring.ts';
import { actorId, contentType } from './value.ts';

/**
 * Byte forms of what messages and the disk share of registers. One run of one process proposes most of what a message or a
 * row speaks of: each proposer is written out once. Whoever uses these is to be `scoped` over `proposers`.
 */

/** Sixteen hex digits. */
export const proposers = recurring(actorId);

const counter = integer(COUNTER_MAX);

/** No round has counter 0: it stands for `NO_BALLOT`, which has no proposer. */
export const ballot: Codec<Ballot> = {
  encode: (writer, value) => {
    counter.encode(writer, value.counter);
    if (value.counter > 0) proposers.codec.encode(writer, value.proposer);
  },
  decode: (reader) => {
    const count = counter.decode(reader);
    return count === 0 ? NO_BALLOT : { counter: count, proposer: proposers.codec.decode(reader) };
  },
};

/** A run of a peer; '': none that is known. */
export const knownRun: Codec<string> = mapped(
  proposers.orNull,
  (run: string) => (run === '' ? null : run),
  (run) => run ?? '',
);

export const content: Codec<RegisterContent> = record<RegisterContent>({
  bytes: bytes(VALUE_BYTES_MAX),
  contentType,
  expiresAtMs: nullable(integer()),
});

export const registerValue: Codec<RegisterValue> = record<RegisterValue>({
  version: ballot,
  base: ballot,
  content: nullable(content),
});

export const accepted: Codec<Accepted> = record<Accepted>({ ballot, value: registerValue, copied: boolean });

export const acceptorRow: Codec<AcceptorRow> = record<AcceptorRow>({
  promised: ballot,
  accepted: nullable(accepted),
  generation: integer(),
});
