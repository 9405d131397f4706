import type { Failure } from '../../lib/failure.ts';
import type { CausalContext } from '../causal/context.ts';
import type { Entries } from '../causal/entry.ts';
import type { NodeId } from '../machine.ts';
import type { ReadState } from '../replication/read-coordinator.ts';
import { sessionOf } from '../replication/request.ts';
import type { NodeHost } from './host.ts';
import { type Change, WatchRelay } from './watch-relay.ts';

/** What watches need of their node. */
export interface WatchHost extends NodeHost {
  readonly self: NodeId;
  /** Names this run of the process. */
  readonly run: number;
  /** How often in this run the disk was found to be an older copy. */
  readonly rollbacks: () => number;
  /** The entries that have not expired. */
  readonly live: (bucket: string, entries: Entries) => Entries;
}

/** The watches of a node, composed with its ring, its catalog and its replication. */
export function newWatchRelay(host: WatchHost): WatchRelay {
  const { self, run, rollbacks, rings, catalog, send, use, live, replicate } = host;
  return new WatchRelay({
    self,
    run,
    rollbacks,
    shardOf: (bucket, key) => rings.placement.shardOf(bucket, key),
    owners: (bucket) => rings.placement.shardIdsOf(bucket).map((shard) => rings.placement.owners(shard)),
    send,
    whenDurable: (done) => replicate((replication, now) => replication.whenDurable(done, now)),
    read: (bucket, key, session, done) => read(host, { bucket, key, session }, done),
    tell: (bucket, key, entries) =>
      use({ type: 'changed', bucket: catalog.shownName(bucket), key, entries: live(bucket, entries) }),
    onCoverage: () => use({ type: 'watch-coverage' }),
  });
}

interface Wanted {
  readonly bucket: string;
  readonly key: string;
  readonly session: CausalContext | null;
}

function read({ later, replicate }: WatchHost, wanted: Wanted, use: (state: Change | null) => void): void {
  const { bucket, key } = wanted;
  const session = wanted.session === null ? null : sessionOf(wanted.session);
  const done = (state: ReadState | Failure): void => {
    // Without a session, what too few owners say says nothing.
    const counts = 'entries' in state && (state.complete || session !== null);
    use(counts ? { bucket, key, entries: state.entries, context: state.context, past: state.past } : null);
  };
  later(() => replicate((replication, now) => replication.read({ bucket, key, level: 'quorum', session }, done, now)));
}
