import type { DatabaseUrl } from './database-url.ts';
import type { HostPort, LogFormat, LogLevel } from './node-config.ts';

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
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
}
