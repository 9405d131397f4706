import { prometheusRenderer } from '../../src/adapters/prometheus/metrics-renderer.ts';
import { Hub, type HubParts } from '../../src/hub/hub.ts';
import { hlcAt } from '../../src/lib/hlc.ts';
import { SiteToken } from '../../src/lib/site-token.ts';
import type { HubReply } from '../../src/ports/hub-link.ts';
import type { HubStore, SiteBucket } from '../../src/ports/hub-store.ts';
import { CausalContext } from '../../src/protocol/causal/context.ts';
import type { Entry } from '../../src/protocol/causal/entry.ts';
import { shardOf } from '../../src/protocol/ring/shard.ts';
import type { HubHelloRequest, HubPushRequest } from '../../src/protocol/uplink/message.ts';
import { FakeHubListener, type FakeHubSession, FIRST_KEY } from './fake-hub-listener.ts';
import { FakeHubStore } from './fake-hub-store.ts';
import { ManualClock } from './manual-clock.ts';
import { RecordingLog } from './recording-log.ts';

export const SHARDS = 16;
export const EDGE_ACTOR = 'a'.repeat(16);

export const BUCKETS: readonly SiteBucket[] = [
  { name: 'both', sync: 'both', conflict: 'lww', ttlSeconds: null, origin: null },
  { name: 'carts~1k', sync: 'both', conflict: 'siblings', ttlSeconds: null, origin: null },
  { name: 'none', sync: 'none', conflict: 'lww', ttlSeconds: null, origin: null },
  { name: 'orders', sync: 'down', conflict: 'lww', ttlSeconds: 60, origin: null },
  { name: 'readings', sync: 'up', conflict: 'lww', ttlSeconds: null, origin: null },
];

export interface HubFixture {
  readonly hub: Hub;
  readonly store: HubStore;
  readonly listener: FakeHubListener;
  readonly clock: ManualClock;
  readonly log: RecordingLog;
}

let drawn = 0;

/** Random enough: never the same twice in one process. */
function draw(): string {
  drawn += 1;
  return drawn.toString(16).padStart(16, '0');
}

/** A hub that has started, upon a store and a listener in memory. */
export async function startHub(
  parts: Partial<HubParts> & { readonly store?: HubStore; readonly clock?: ManualClock } = {},
): Promise<HubFixture> {
  const { clock = new ManualClock(), store = new FakeHubStore() } = parts;
  const listener = new FakeHubListener();
  const log = new RecordingLog();
  const hub = new Hub({
    name: 'cloud',
    peerId: '12D3KooWHub',
    version: '1.2.3',
    storeKind: 'embedded',
    metrics: prometheusRenderer,
    random: draw,
    issueToken: (site) => ({ token: SiteToken.of(site, draw().repeat(4)), key: FIRST_KEY }),
    processUsage: () => ({ residentBytes: 1, cpuSeconds: 2 }),
    ...parts,
    store,
    listener,
    clock,
    log,
  });
  await hub.start();
  return { hub, store, listener, clock, log };
}

export function helloOf(told: Partial<HubHelloRequest> = {}): HubHelloRequest {
  const actors = [{ actor: EDGE_ACTOR, name: 'gateway-7' }];
  return { type: 'hub-hello', shards: SHARDS, clusterId: 'c1', buckets: BUCKETS, actors, ...told };
}

/** A site that has just said hello. */
export async function connectSite(
  { hub, listener }: Pick<HubFixture, 'hub' | 'listener'>,
  site = 'hall-2',
  peer = 'peer-1',
): Promise<FakeHubSession> {
  await hub.addSite(site).catch(() => undefined);
  const session = listener.connect(site, peer);
  const reply = await session.request(helloOf());
  if (reply.type !== 'hub-welcome') throw new Error(`not welcome: ${JSON.stringify(reply)}`);
  return session;
}

export interface EdgeWrite {
  readonly bucket: string;
  readonly key: string;
  readonly value: string;
  readonly counter: number;
  readonly actor?: string;
  readonly wallMs?: number;
  readonly expiresAtMs?: number;
}

export function entryOf(write: EdgeWrite): Entry {
  const { value, counter, actor = EDGE_ACTOR, wallMs = 1_790_000_000_000, expiresAtMs = 0 } = write;
  const payload = { kind: 'register', value: new TextEncoder().encode(value), contentType: 'text/plain' } as const;
  return { dot: { actor, counter }, hlc: hlcAt(wallMs), expiresAtMs, payload };
}

export function shardFor({ bucket, key }: Pick<EdgeWrite, 'bucket' | 'key'>): number {
  return shardOf(bucket, key, SHARDS);
}

/** What a site sends of writes that replaced nothing. */
export function pushOf(...writes: readonly EdgeWrite[]): HubPushRequest {
  const pushes = writes.map((write) => {
    const entry = entryOf(write);
    const events = CausalContext.fromDots([entry.dot]);
    const { bucket, key } = write;
    const item = { bucket, key, entries: [entry], past: null, events, more: false, sent: null };
    const skipped = new CausalContext();
    const later = new CausalContext();
    return {
      shard: shardFor(write),
      context: events.clone(),
      items: [item],
      skipped,
      skippedOf: [],
      later,
      own: new CausalContext(),
    };
  });
  return { type: 'hub-push', pushes };
}

/** `refused busy`, or the type of any other reply. */
export function outcomeOf(reply: HubReply): string {
  return reply.type === 'hub-refused' ? `refused ${reply.code}` : reply.type;
}
