import { failure, HoldfastError } from '../lib/failure.ts';
import { hash32, hashString } from '../lib/hash.ts';
import { CausalContext } from '../protocol/causal/context.ts';
import type { SessionContext } from '../protocol/replication/request.ts';

/**
 * What a session has seen of a key as clients carry it: base64url (RFC 4648, section 5, no padding) of
 *
 *     version (1) | key (4, little-endian) | context | bare, unless it is empty | hash32 (4, little-endian)
 *
 * and of each of the two contexts
 *
 *     actors (varint) | per actor: id (8 bytes) | ranges (varint) | per range: gap, length (varint)
 *
 * `key` is a hash of the bucket and key that it is about: dots are named anew in every shard, so that the token of one
 * key would say something wrong about another. Actors ascend; a range starts `gap` after the end of the one before it (or after 0), and spans `length` + 1
 * counters. Each session context has exactly one token: anything else is refused. The checksum catches truncation and
 * typing errors; it is no signature, so the node must never learn new dots from a client's context.
 */
const VERSION = 2;
const ACTORS_MAX = 1024;
const RANGES_MAX = 4096;
/** Keeps a response's headers under the 16 KiB that common clients accept. */
const TOKEN_CHARACTERS_MAX = 8192;
const CHECKSUM_SEED = 0x48464354;
const NAME_SEED = 0x4846434b;
const NAME_BYTES = 4;
const CHECKSUM_BYTES = 4;
const ACTOR_BYTES = 8;
const TOKEN_BYTES_MAX = (TOKEN_CHARACTERS_MAX / 4) * 3;

/** What a token is about. */
export interface TokenSubject {
  readonly bucket: string;
  readonly key: string;
}

/** Null when it is too large for a token (a context of more than 1024 actors or 4096 ranges, or 8192 characters). */
export function encodeContextToken({ context, bare }: SessionContext, subject: TokenSubject): string | null {
  const writer = new TokenWriter();
  writer.byte(VERSION);
  writer.name(subject);
  for (const each of bare.isEmpty ? [context] : [context, bare]) if (!writeContext(writer, each)) return null;
  const token = writer.finish();
  return token.length > TOKEN_CHARACTERS_MAX ? null : token;
}

/** False when it is too large. */
function writeContext(writer: TokenWriter, context: CausalContext): boolean {
  if (context.actorCount > ACTORS_MAX || context.rangeCount > RANGES_MAX) return false;
  writer.varint(context.actorCount);
  const ranges = context.ranges();
  for (let i = 0; i < ranges.length; ) {
    const actor = (ranges[i] as (typeof ranges)[number]).actor;
    let end = i + 1;
    while (end < ranges.length && ranges[end]?.actor === actor) end++;
    writer.actor(actor);
    writer.varint(end - i);
    let previous = 0;
    for (; i < end; i++) {
      const { from, to } = ranges[i] as (typeof ranges)[number];
      writer.varint(from - previous);
      writer.varint(to - from);
      previous = to;
    }
    if (writer.length > TOKEN_BYTES_MAX) return false;
  }
  return true;
}

/** Throws a HoldfastError `bad-context` for anything that `encodeContextToken` does not produce for this key. */
export function decodeContextToken(token: string, subject: TokenSubject): SessionContext {
  if (token.length > TOKEN_CHARACTERS_MAX) throw refusal(`it is longer than ${TOKEN_CHARACTERS_MAX} characters`);
  if (!/^[\w-]*$/.test(token)) throw refusal('it is not base64url');
  const bytes = Buffer.from(token, 'base64url');
  // Node's decoder drops bits that make no byte; only the canonical text survives the way back.
  if (bytes.toString('base64url') !== token) throw refusal('its end is missing or changed');
  const reader = new TokenReader(bytes);
  reader.expectName(subject);
  const context = readContext(reader);
  if (reader.isAtEnd) return { context, bare: new CausalContext() };
  const bare = readContext(reader);
  if (bare.isEmpty || !context.covers(bare)) throw refusal('its bare part is empty, or no part of it');
  reader.expectEnd();
  return { context, bare };
}

function readContext(reader: TokenReader): CausalContext {
  const context = new CausalContext();
  const actors = reader.varint();
  if (actors > ACTORS_MAX) throw refusal(`it names more than ${ACTORS_MAX} actors`);
  let rangesLeft = RANGES_MAX;
  let last = '';
  for (let i = 0; i < actors; i++) {
    const actor = reader.actor();
    if (actor <= last) throw refusal('its actors are out of order');
    last = actor;
    const ranges = reader.varint();
    rangesLeft -= ranges;
    if (ranges === 0 || rangesLeft < 0) throw refusal(`each actor has a range, and all have at most ${RANGES_MAX}`);
    let previous = 0;
    for (let j = 0; j < ranges; j++) {
      const gap = reader.varint();
      const from = previous + gap;
      const to = from + reader.varint();
      if (gap < (j === 0 ? 1 : 2) || !Number.isSafeInteger(to)) throw refusal('a range is out of order');
      context.addRange({ actor, from, to });
      previous = to;
    }
  }
  return context;
}

function nameHash({ bucket, key }: TokenSubject): number {
  return hashString(`${bucket}\0${key}`, NAME_SEED);
}

function refusal(cause: string): HoldfastError {
  return new HoldfastError(
    failure(
      'bad-context',
      `the causal context is unusable: ${cause}; pass on a Holdfast-Context header as it was received`,
    ),
  );
}

class TokenWriter {
  private bytes = Buffer.allocUnsafe(64);
  private end = 0;

  get length(): number {
    return this.end;
  }

  byte(value: number): void {
    this.reserve(1);
    this.bytes[this.end++] = value;
  }

  /** LEB128, least significant group first; up to 2^53 - 1, so without bit operations on the whole. */
  varint(value: number): void {
    this.reserve(8);
    let rest = value;
    while (rest >= 0x80) {
      this.bytes[this.end++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.bytes[this.end++] = rest;
  }

  name(subject: TokenSubject): void {
    this.reserve(NAME_BYTES);
    this.end = this.bytes.writeUInt32LE(nameHash(subject), this.end);
  }

  actor(id: string): void {
    this.reserve(ACTOR_BYTES);
    this.bytes.write(id, this.end, 'hex');
    this.end += ACTOR_BYTES;
  }

  finish(): string {
    this.reserve(CHECKSUM_BYTES);
    this.bytes.writeUInt32LE(hash32(this.bytes.subarray(0, this.end), CHECKSUM_SEED), this.end);
    this.end += CHECKSUM_BYTES;
    return this.bytes.toString('base64url', 0, this.end);
  }

  private reserve(count: number): void {
    if (this.end + count <= this.bytes.length) return;
    const larger = Buffer.allocUnsafe(this.bytes.length * 2 + count);
    this.bytes.copy(larger, 0, 0, this.end);
    this.bytes = larger;
  }
}

class TokenReader {
  private readonly bytes: Buffer;
  private readonly end: number;
  private at = 1;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
    this.end = bytes.length - CHECKSUM_BYTES;
    if (this.end < 2 + NAME_BYTES) throw refusal('it is too short');
    if (bytes[0] !== VERSION) throw refusal(`its version is not ${VERSION}`);
    const checksum = hash32(bytes.subarray(0, this.end), CHECKSUM_SEED);
    if (bytes.readUInt32LE(this.end) !== checksum) throw refusal('its checksum does not match');
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 8; i++) {
      const byte = this.next();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        // The shortest form only, and nothing above 2^53 - 1.
        if ((byte === 0 && i > 0) || !Number.isSafeInteger(value)) break;
        return value;
      }
      scale *= 0x80;
    }
    throw refusal('a number is malformed');
  }

  expectName(subject: TokenSubject): void {
    const hash = this.bytes.readUInt32LE(this.at);
    this.at += NAME_BYTES;
    if (hash !== nameHash(subject)) throw refusal('it is about another key');
  }

  actor(): string {
    const from = this.at;
    this.at += ACTOR_BYTES;
    if (this.at > this.end) throw refusal('it is truncated');
    return this.bytes.toString('hex', from, this.at);
  }

  get isAtEnd(): boolean {
    return this.at === this.end;
  }

  expectEnd(): void {
    if (!this.isAtEnd) throw refusal('it has trailing bytes');
  }

  private next(): number {
    if (this.at >= this.end) throw refusal('it is truncated');
    return this.bytes[this.at++] as number;
  }
}
