import { classOf } from '../lib/bucket-name.ts';
import { CausalContext } from '../protocol/causal/context.ts';
import { type ActorId, compareDots, type Dot } from '../protocol/causal/dot.ts';
import { type Entries, type Entry, type Payload, VALUE_BYTES_MAX } from '../protocol/causal/entry.ts';
import type { ObjectName } from '../protocol/replication/record.ts';
import { bytes, type Codec, DecodeError, integer, list, mapped, record, signed, text, union } from './codec.ts';

/** Byte forms of what the wire and the disk share: dots, contexts, entries. */

/** Actors met of late, in both forms: the same few occur in every message, and text is slow to make and to read. */
const ACTORS_CACHED = 256;
const actorsBySuffix = Array.from<KnownActor | undefined>({ length: ACTORS_CACHED });
const actorsByNumber = Array.from<KnownActor | undefined>({ length: ACTORS_CACHED });

interface KnownActor {
  readonly high: number;
  readonly low: number;
  readonly text: ActorId;
}

/** Sixteen hex digits as eight bytes. */
export const actorId: Codec<ActorId> = {
  encode: (writer, value) => {
    const slot = (value.charCodeAt(14) * 16 + value.charCodeAt(15)) % ACTORS_CACHED;
    let actor = actorsBySuffix[slot];
    if (actor?.text !== value) {
      const [high, low] = [Number.parseInt(value.slice(0, 8), 16), Number.parseInt(value.slice(8), 16)];
      actor = { high, low, text: value };
      actorsBySuffix[slot] = actor;
    }
    writer.uint32(actor.high);
    writer.uint32(actor.low);
  },
  decode: (reader) => {
    const high = reader.uint32();
    const low = reader.uint32();
    const slot = (high ^ low) & (ACTORS_CACHED - 1);
    let actor = actorsByNumber[slot];
    if (actor?.high !== high || actor.low !== low) {
      actor = { high, low, text: hex32(high) + hex32(low) };
      actorsByNumber[slot] = actor;
    }
    return actor.text;
  },
};

function hex32(value: number): string {
  return value.toString(16).padStart(8, '0');
}

const counter: Codec<number> = {
  encode: (writer, value) => writer.varint(value),
  decode: (reader) => {
    const value = reader.varint();
    if (value === 0) throw new DecodeError('a counter starts at 1');
    return value;
  },
};

// Joins know no bound on the ranges of a context or the entries of a key, and what is on the disk must be read again: the
// bytes of the record or message are the bound.

/** Fewest bytes of a range, and of an entry: no count is believed that the input cannot hold. */
const RANGE_BYTES_MIN = 3;
const ENTRY_BYTES_MIN = 5;

export const CONTENT_TYPE_BYTES_MAX = 256;

/** A member, a field, or the value in a field. */
export const collectionBytes = bytes(VALUE_BYTES_MAX);

/** Texts kept of each interned codec. */
const INTERNED_MAX = 64;

/** For texts of which there are few: cached values then share one string instead of holding a copy each. */
function interned(inner: Codec<string>): Codec<string> {
  const known = new Map<string, string>();
  return {
    encode: (writer, value) => inner.encode(writer, value),
    decode: (reader) => {
      const value = inner.decode(reader);
      const same = known.get(value);
      if (same !== undefined) return same;
      if (known.size >= INTERNED_MAX) known.clear();
      known.set(value, value);
      return value;
    },
  };
}

/** How a form names what occurs in it again and again. */
interface Names {
  readonly actor: Codec<ActorId>;
  /** The actor of a range; null: that of the range before. */
  readonly actorOrSame: Codec<ActorId | null>;
  readonly contentType: Codec<string>;
}

interface ValueCodecs {
  readonly dot: Codec<Dot>;
  /** Per actor its ranges as differences: a context with one range an actor takes about 11 bytes each. */
  readonly causalContext: Codec<CausalContext>;
  readonly entries: Codec<Entries>;
}

// Dots, entries and contexts are most of what nodes say: written out, they take half the time of a `record`.

export function valueCodecs(names: Names): ValueCodecs {
  const dot = dotOf(names.actor);
  return { dot, causalContext: contextOf(names.actorOrSame), entries: entriesOf(dot, names.contentType) };
}

function dotOf(actor: Codec<ActorId>): Codec<Dot> {
  return {
    encode: (writer, value) => {
      actor.encode(writer, value.actor);
      writer.varint(value.counter);
    },
    decode: (reader) => ({ actor: actor.decode(reader), counter: counter.decode(reader) }),
  };
}

function contextOf(actorOrSame: Codec<ActorId | null>): Codec<CausalContext> {
  return {
    encode: (writer, value) => {
      writer.varint(value.rangeCount);
      let previous: ActorId | null = null;
      let last = 0;
      value.forEachRange((actor, from, to) => {
        const sameActor = previous === actor;
        actorOrSame.encode(writer, sameActor ? null : actor);
        writer.varint(from - (sameActor ? last : 0));
        writer.varint(to - from);
        previous = actor;
        last = to;
      });
    },
    decode: (reader) => {
      const count = reader.varint();
      if (count * RANGE_BYTES_MIN > reader.remaining) throw new DecodeError('a context has more ranges than bytes');
      const context = new CausalContext();
      let actor = '';
      let last = 0;
      for (let i = 0; i < count; i++) {
        const named = actorOrSame.decode(reader);
        if (named !== null) {
          // Merged in another order they could cost the square of their number.
          if (named <= actor) throw new DecodeError('a context names its actors out of order');
          actor = named;
          last = 0;
        } else if (actor === '') {
          throw new DecodeError('a context begins without an actor');
        }
        const from = last + reader.varint();
        const to = from + reader.varint();
        if (from <= last || to > Number.MAX_SAFE_INTEGER) throw new DecodeError('a context range is out of order');
        context.addRange({ actor, from, to });
        last = to;
      }
      return context;
    },
  };
}

type Register = Omit<Extract<Payload, { kind: 'register' }>, 'kind'>;
const registerValue = bytes(VALUE_BYTES_MAX);

function payloadOf(dot: Codec<Dot>, contentType: Codec<string>): Codec<Payload> {
  const register: Codec<Register> = {
    encode: (writer, value) => {
      writer.bytes(value.value);
      contentType.encode(writer, value.contentType);
    },
    decode: (reader) => ({ value: registerValue.decode(reader), contentType: contentType.decode(reader) }),
  };
  return union<Payload, 'kind'>('kind', {
    register: [0, register],
    counter: [1, record({ total: signed, since: counter })],
    set: [2, record({})],
    'set-member': [3, record({ member: collectionBytes })],
    map: [4, record({})],
    'map-field': [5, record({ field: collectionBytes, hlc: integer(), value: collectionBytes })],
    'map-counter': [6, record({ field: collectionBytes, hlc: integer(), total: signed, since: counter })],
    mark: [7, record({ of: list(dot, Number.MAX_SAFE_INTEGER), atMs: integer(), latest: integer() })],
  });
}

function entriesOf(dot: Codec<Dot>, contentType: Codec<string>): Codec<Entries> {
  const payload = payloadOf(dot, contentType);
  const entry: Codec<Entry> = {
    encode: (writer, value) => {
      dot.encode(writer, value.dot);
      writer.varint(value.hlc);
      writer.varint(value.expiresAtMs);
      payload.encode(writer, value.payload);
    },
    decode: (reader) => ({
      dot: dot.decode(reader),
      hlc: reader.varint(),
      expiresAtMs: reader.varint(),
      payload: payload.decode(reader),
    }),
  };
  return {
    encode: (writer, value) => {
      writer.varint(value.length);
      for (const each of value) entry.encode(writer, each);
    },
    decode: (reader) => {
      const count = reader.varint();
      if (count * ENTRY_BYTES_MIN > reader.remaining) throw new DecodeError('a key has more entries than bytes');
      const value: Entry[] = [];
      let before: Dot | undefined;
      for (let i = 0; i < count; i++) {
        const next = entry.decode(reader);
        if (before !== undefined && compareDots(before, next.dot) >= 0) {
          throw new DecodeError('entries are not in the order of their dots');
        }
        before = next.dot;
        value.push(next);
      }
      return value;
    },
  };
}

export const contentType = interned(text(CONTENT_TYPE_BYTES_MAX));

/** The form of the disk and of most messages: every name is written out. */
export const { dot, causalContext, entries } = valueCodecs({
  actor: actorId,
  actorOrSame: {
    encode: (writer, value) => {
      writer.byte(value === null ? 1 : 0);
      if (value !== null) actorId.encode(writer, value);
    },
    decode: (reader) => (reader.byte() === 0 ? actorId.decode(reader) : null),
  },
  contentType,
});

/** As a list of one: entries have no form of their own. */
export const oneEntry: Codec<Entry> = mapped(
  entries,
  (entry: Entry) => [entry],
  (found) => {
    const [entry] = found;
    if (entry === undefined || found.length > 1) throw new DecodeError('one entry is expected');
    return entry;
  },
);

/** Events that one delta, hint or part of a key may name: receivers apply them one by one. */
const EVENTS_MAX = 65_536;

/** A context whose dots are counted, not only its ranges. */
export function eventsIn(context: Codec<CausalContext>): Codec<CausalContext> {
  return mapped(
    context,
    (value: CausalContext) => value,
    (value) => {
      if (value.dotCount > EVENTS_MAX) throw new DecodeError('a delta names too many events');
      return value;
    },
  );
}

/** Any number of dots, as many as the input holds. */
export const dots: Codec<readonly Dot[]> = list(dot, Number.MAX_SAFE_INTEGER);

export const eventSet: Codec<CausalContext> = eventsIn(causalContext);

const BUCKET_BYTES_MAX = 71;
export const KEY_BYTES_MAX = 1024;

/** A name that begins with a dot is the nodes' own: no client creates one. */
const BUCKET = /^[a-z0-9.][a-z0-9._-]{0,62}(?:~[1-9a-z][0-9a-z]{0,6})?$/;
const CLASS_MAX = 0xffff_ffff;

/** A qualified name, see `lib/bucket-name.ts`. */
export const bucketName: Codec<string> = mapped(
  text(BUCKET_BYTES_MAX),
  (value: string) => value,
  (value) => {
    if (!BUCKET.test(value) || classOf(value) > CLASS_MAX) throw new DecodeError('a bucket name is malformed');
    return value;
  },
);

export const keyText: Codec<string> = mapped(
  text(KEY_BYTES_MAX),
  (value: string) => value,
  (value) => {
    if (value.length === 0) throw new DecodeError('a key is empty');
    return value;
  },
);

export const objectName: Codec<ObjectName> = record<ObjectName>({ bucket: bucketName, key: keyText });
