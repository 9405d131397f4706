import type { SiteToken } from '../lib/site-token.ts';
import type { DatabaseUrl } from './database-url.ts';
import type { HostPort, LogFormat, LogLevel, Tuning } from './node-config.ts';

/** Everything a hub is told at its start. Deeply frozen. */
export interface HubConfig {
  /** Absolute path. */
  readonly dataDir: string;
  readonly name: string;
  /** `/ip4|ip6/…/tcp/…` */
  readonly listen: readonly string[];
  /** `/ip4|ip6|dns|dns4|dns6/…/tcp/…`; empty: as `listen` says. */
  readonly announce: readonly string[];
  readonly http: HostPort;
  /** Null: the embedded store. */
  readonly database: DatabaseUrl | null;
  /** Multiaddr of the hub above; null: there is none. */
  readonly hub: string | null;
  /** Of the site that this hub is there; null where there is none. */
  readonly hubToken: SiteToken | null;
  /** Absolute path of the file that `hubToken` was read from. */
  readonly hubTokenFile: string | null;
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
  readonly tuning: Pick<Tuning, 'hubBytesPerSecond'>;
}
