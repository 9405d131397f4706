import { CausalContext } from '../../../src/protocol/causal/context.ts';
import { dotText } from '../../../src/protocol/causal/dot.ts';
import type { Entries } from '../../../src/protocol/causal/entry.ts';
import type { VirtualHub } from '../virtual-hub.ts';

/**
 * After faults have stopped: a hub and the hub above count the same events of each shard, have each key of the buckets that go up
 * alike, and what was written above in one that only comes down is below too.
 */
export function checkChain(lower: VirtualHub, upper: VirtualHub, shards: readonly number[]): string[] {
  return shards.flatMap((shard) =>
    [...differences(lower, upper, shard)].map((problem) => `shard ${shard}: ${problem}`),
  );
}

function* differences(lower: VirtualHub, upper: VirtualHub, shard: number): Generator<string> {
  const below = lower.rows.shards.get(shard)?.context ?? new CausalContext();
  const above = upper.rows.shards.get(shard)?.context ?? new CausalContext();
  if (!above.covers(below)) yield `above lacks ${JSON.stringify(below.minus(above))}`;
  if (!below.covers(above)) yield `below lacks ${JSON.stringify(above.minus(below))}`;
  const [there, here] = [keysOf(upper, shard), keysOf(lower, shard)];
  for (const [key, bucket] of new Map([...there, ...here].map(([name, { bucket: of }]) => [name, of]))) {
    const sync = lower.buckets.get(bucket)?.sync ?? 'none';
    const [a, b] = [here.get(key)?.text, there.get(key)?.text];
    if (sync === 'down') {
      if (b !== undefined && !b.split(' ').every((entry) => a?.split(' ').includes(entry)))
        yield `${key}: ${a ?? 'absent'} below, written above: ${b}`;
    } else if (a !== b) {
      yield `${key}: ${a ?? 'absent'} below, ${b ?? 'absent'} above`;
    }
  }
}

function keysOf(hub: VirtualHub, shard: number): Map<string, { readonly bucket: string; readonly text: string }> {
  const keys = new Map<string, { readonly bucket: string; readonly text: string }>();
  for (const { name, object } of hub.rows.objects.values()) {
    if (name.shard !== shard || object.entries.length === 0) continue;
    keys.set(`${name.bucket}/${name.key}`, { bucket: name.bucket, text: textOf(object.entries) });
  }
  return keys;
}

function textOf(entries: Entries): string {
  return entries.map(({ dot, payload }) => `${dotText(dot)}:${payload.kind}`).join(' ');
}
