/**
 * `npm run bench -- NAME [options]`: measurements of this machine, for comparing versions and for the ratio to
 * other systems that run beside Holdfast. Nothing here is a test; `--json` prints the figures for a program.
 */
import { BenchUsageError } from './bench/usage.ts';

const BENCHES: Readonly<Record<string, () => Promise<{ run: (args: string[]) => Promise<void> }>>> = {
  kv: () => import('./bench/kv.ts'),
  hub: () => import('./bench/hub.ts'),
  idle: () => import('./bench/idle.ts'),
  leader: () => import('./bench/leader.ts'),
  membership: () => import('./bench/membership.ts'),
  repair: () => import('./bench/repair.ts'),
  ring: () => import('./bench/ring.ts'),
  store: () => import('./bench/store.ts'),
  strong: () => import('./bench/strong.ts'),
};

const USAGE = `usage: npm run bench -- NAME [options]

  kv     puts and gets of three nodes over HTTP and RESP, beside etcd, NATS and Redis where they are installed
           --seconds N (5)   of each round
           --rounds N (3)    medians are printed
           --only WORDS      comma-separated: holdfast, etcd, nats, redis, put, get-quorum, get-one, http, resp
           --directory DIR   where the data goes; default: the system's temporary directory
           --program FILE    what to measure: default the sources, or dist/holdfast.mjs
           --cpu-prof DIR    has the Holdfast nodes write CPU profiles there
  hub    how fast a site's backlog goes up to a hub with the embedded store, and with PostgreSQL where that is installed;
         there is no peer to compare with
           --keys N (20000)  written while the hub is away
           --nodes N (3)     of the site
           --only WORDS      comma-separated: embedded, postgres
           --directory DIR  --program FILE
           --cpu-prof DIR    has the hub and the nodes write CPU profiles there
  idle   what a cluster costs that nobody uses
           --nodes N (10)  --seconds N (30)  --directory DIR  --program FILE
  leader how long a killed leader is missing, beside etcd (three nodes) where it is installed; what leases cost
           --nodes LIST (5,10)  Holdfast's clusters, comma-separated
           --rounds N (10)   medians are printed; 5 for a quick look
           --seconds N (20)  of idling, of the largest cluster
           --only WORDS      comma-separated: holdfast, etcd
           --directory DIR  --program FILE
  membership
         how fast a cluster knows of failures and of new nodes, beside Serf where it is installed
           --nodes N (10)
           --rounds N (5)    medians are printed
           --seconds N (30)  of idling
           --only WORDS      comma-separated: holdfast, serf, kill, join, stall (on loopback), idle, silent (in
                             network namespaces: root on Linux)
  repair what anti-entropy costs after a node was away
           --keys LIST (10000,100000,1000000)  on each of three nodes, comma-separated
           --differing N (100)  --directory DIR  --program FILE
  ring   how evenly shards and keys are spread, and what moves when members join, leave or change; computed
           --members N (10)  --clusters N (1000)  --shards N (256)  --keys N (100000)
  store  the store alone, in one process
           --seconds N (10)  --directory DIR
  strong strong keys beside etcd (three nodes) where it is installed: throughput and latency, and a chart of the writes
         at the other nodes while the leader is killed
           --nodes N (3)     Holdfast's cluster
           --connections LIST (1,16,64)  comma-separated
           --seconds N (5)   of each round of the load
           --rounds N (3)    medians are printed
           --only WORDS      comma-separated: holdfast, etcd, load, kill
           --directory DIR  --program FILE

  --json  the figures as one line of JSON`;

const [name = '', ...args] = process.argv.slice(2);
if ([name, ...args].some((word) => word === '--help' || word === '-h')) {
  console.log(USAGE);
  process.exit(0);
}
const load = Object.hasOwn(BENCHES, name) ? BENCHES[name] : undefined;
if (load === undefined) {
  console.error(name === '' ? USAGE : `bench: there is no bench ${name}\n\n${USAGE}`);
  process.exit(2);
}
try {
  const { run } = await load();
  await run(args);
} catch (error) {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (!(error instanceof BenchUsageError) && !code.startsWith('ERR_PARSE_ARGS')) throw error;
  console.error(`bench: ${error instanceof Error ? error.message : ''}\n\n${USAGE}`);
  process.exitCode = 2;
}
