import { describe, expect, it } from 'vitest';
import { CausalContext } from '../../../src/protocol/causal/context.ts';
import {
  COLLECTION_BYTES_MAX,
  COLLECTION_ENTRIES_MAX,
  type Entries,
  type Entry,
  sizeOf,
} from '../../../src/protocol/causal/entry.ts';
import type { PeerMessage } from '../../../src/protocol/node/message.ts';
import { WHOLE } from '../../../src/protocol/replication/message.ts';
import { decodeFrame, FrameWriter } from '../../../src/wire/message.ts';

const HLC = Number.MAX_SAFE_INTEGER - 1;

function actor(index: number): string {
  return index.toString(16).padStart(16, '0');
}

/** A set that is full both in members and in bytes, each member by another actor than the one before. */
function fullSet(actors: number, of: number): Entries {
  const entries: Entry[] = [];
  const each = Math.floor(COLLECTION_BYTES_MAX / COLLECTION_ENTRIES_MAX) - 32;
  for (let i = 0; i < COLLECTION_ENTRIES_MAX; i++) {
    const member = new Uint8Array(each);
    new DataView(member.buffer).setUint32(0, i);
    const dot = { actor: actor(of * actors + (i % actors)), counter: 2 ** 40 + 2 * i };
    entries.push({ dot, hlc: HLC, expiresAtMs: HLC, payload: { kind: 'set-member', member } });
  }
  return entries.sort((a, b) =>
    a.dot.actor < b.dot.actor ? -1 : a.dot.actor > b.dot.actor ? 1 : a.dot.counter - b.dot.counter,
  );
}

function replicate(entries: Entries): PeerMessage {
  // Every dot is a range of its own: nothing makes a context longer.
  const context = CausalContext.fromDots(entries.map(({ dot }) => dot));
  return { type: 'replicate', id: 1, bucket: 'default', key: 's', entries, events: context, context, hintFor: [] };
}

describe('a full set', () => {
  it('fits one message, with the context of its removal too', () => {
    const entries = fullSet(7, 0);
    expect(sizeOf(entries)).toBeLessThanOrEqual(COLLECTION_BYTES_MAX);
    expect(sizeOf(entries)).toBeGreaterThan(COLLECTION_BYTES_MAX * 0.99);
    const writer = new FrameWriter();
    expect(writer.add(replicate(entries))).toBe(true);
    const [message] = decodeFrame(writer.take()).messages;
    expect(message?.type === 'replicate' ? message.entries.length : 0).toBe(COLLECTION_ENTRIES_MAX);
  });

  it('fits one message where two sides of a partition have filled it', () => {
    const entries = [...fullSet(3, 0), ...fullSet(3, 1)];
    const events = CausalContext.fromDots(entries.map(({ dot }) => dot));
    const item = { bucket: 'default', key: 's', entries, past: null, events, part: WHOLE };
    const context = new CausalContext();
    const writer = new FrameWriter();
    const chunk = { shard: 1, sequence: 1, context, items: [item], covered: context };
    expect(writer.add({ type: 'sync-objects', chunks: [chunk] })).toBe(true);
    expect(decodeFrame(writer.take()).messages).toHaveLength(1);
  });
});
