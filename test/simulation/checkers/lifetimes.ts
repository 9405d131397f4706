import { isPlausible } from '../../../src/lib/hlc.ts';
import { readRegister } from '../../../src/protocol/causal/value.ts';
import type { SimCluster } from '../cluster.ts';
import type { History } from '../history.ts';
import { WALL_START_MS } from '../node-clock.ts';
import type { SimNode } from '../sim-node.ts';
import { type Checker, Problems } from './checker.ts';

/** As `maxClockDriftMs` in `SimCluster`: clocks may differ by so much, and nobody is to blame. */
const DRIFT_MS = 60_000;
const decoder = new TextDecoder();

/**
 * A value with a time to live is there until that has passed by the true clock, and gone soon after. Not in runs in which
 * two clocks were wrong at once: two that agree may be most of those that are left.
 */
export function lifetimesChecker(cluster: SimCluster, histories: readonly History[]): Checker {
  let misled = false;
  return {
    name: 'lifetimes',
    turn: () => {
      if (misled) return;
      let wrong = 0;
      for (const node of cluster.nodes) if (isWrong(cluster, node)) wrong++;
      misled = wrong > 1;
    },
    check: () => {
      const problems = new Problems('lifetimes');
      if (!misled) for (const history of histories) look(cluster, history, problems);
      return problems.all();
    },
  };
}

/** A clock that was never set misleads nobody. */
function isWrong(cluster: SimCluster, { clock }: SimNode): boolean {
  const { wallMs } = clock.now();
  return isPlausible(wallMs) && Math.abs(wallMs - WALL_START_MS - cluster.clock.nowMs) > DRIFT_MS;
}

function look(cluster: SimCluster, history: History, problems: Problems): void {
  const ring = cluster.nodes[0]?.running?.node.placements;
  if (ring === undefined) return;
  const { nowMs } = cluster.clock;
  const bucket = history.bucket.dataName;
  for (const [key, { value, sentMs, ttlMs, clockErrorMs }] of history.timed) {
    // The expiry is absolute, by the clock of the node that was asked.
    if (Math.abs(clockErrorMs) > DRIFT_MS) continue;
    const shard = ring.shardOf(bucket, key);
    for (const { id, name, disk } of cluster.nodes) {
      if (!ring.isOwner(shard, id)) continue;
      const found = readRegister(disk.entriesOf(shard, { bucket, key }) ?? []);
      const isThere = found !== undefined && decoder.decode(found.payload.value) === value;
      const leftMs = sentMs + ttlMs - nowMs;
      const text = `${history.bucket.name}/${key}, written at ${(sentMs / 1000).toFixed(1)} s for ${ttlMs / 1000} s,`;
      if (!isThere && leftMs > DRIFT_MS) problems.add(`${text} is gone on ${name}`);
      if (isThere && leftMs < -DRIFT_MS) problems.add(`${text} is still on ${name}`);
    }
  }
}
