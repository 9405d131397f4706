import type { SiteToken } from '../lib/site-token.ts';
import type { Secret } from './secret.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFormat = 'json' | 'pretty';

/** Where a listener binds. Port 0 lets the system choose. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** Protocol and storage tunables; the file's `tuning` group. Meanings, units and bounds: `CONFIG_KEYS`. */
export interface Tuning {
  readonly probeIntervalMs: number;
  readonly probeTimeoutMs: number;
  readonly probeWindowMs: number;
  readonly suspicionMinMultiplier: number;
  readonly suspicionMaxMultiplier: number;
  readonly replicas: number;
  readonly requestTimeoutMs: number;
  readonly replicaTimeoutMs: number;
  readonly antiEntropyIntervalMs: number;
  readonly outAfterMs: number;
  readonly syncBytesPerSecond: number;
  readonly hintBytesMax: number;
  readonly maxClockDriftMs: number;
  readonly shards: number;
  readonly cacheBytes: number;
  readonly blockCacheBytes: number;
  readonly diskHeadroomBytes: number;
  readonly scrubBytesPerSecond: number;
  readonly scrubIntervalHours: number;
  readonly hubBytesPerSecond: number;
  readonly weight: number;
}

/** Everything a node is told at its start. Deeply frozen. */
export interface NodeConfig {
  /** Absolute path. */
  readonly dataDir: string;
  readonly name: string;
  /** Empty: none. */
  readonly zone: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Null: the node forms a cluster of its own. */
  readonly secret: Secret | null;
  /** Absolute path of the file that `secret` was read from. */
  readonly secretFile: string | null;
  /** `/ip4|ip6/…/tcp/…` */
  readonly listen: readonly string[];
  /** `/ip4|ip6|dns|dns4|dns6/…/tcp/…`, with or without `/p2p/…`. */
  readonly seeds: readonly string[];
  /** `/ip4|ip6|dns|dns4|dns6/…/tcp/…`, with or without `/p2p/…`. Null: none. */
  readonly hub: string | null;
  /** Of the site; null where there is no hub. */
  readonly hubToken: SiteToken | null;
  /** Absolute path of the file that `hubToken` was read from. */
  readonly hubTokenFile: string | null;
  readonly mdns: boolean;
  readonly http: HostPort;
  /** Null: off. */
  readonly resp: HostPort | null;
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
  readonly tuning: Tuning;
}
