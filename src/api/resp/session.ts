import type { Reply, RespVersion } from './reply.ts';
import type { Transaction, Watched } from './strong/transaction.ts';
import { WriteLog } from './write-log.ts';

/** 0 is bucket `default`, 1 is bucket `strong`. */
export type DatabaseIndex = 0 | 1;

/** What one connection has told the server about itself. */
export interface Session {
  /** Counts up from 1; never used twice in one run. */
  readonly id: number;
  /** `host:port` of the client and of this end. */
  readonly address: string;
  readonly localAddress: string;
  /** Monotonic ms. */
  readonly openedAtMs: number;
  lastActiveAtMs: number;
  name: string;
  version: RespVersion;
  libraryName: string;
  libraryVersion: string;
  noEvict: boolean;
  /** Changed by barrier commands only, so that all commands in flight are about the same one. */
  database: DatabaseIndex;
  /** Between MULTI and EXEC, on database 1. */
  transaction: Transaction | null;
  /** What EXEC is to find unchanged. */
  watched: Watched | null;
  /** Name of the latest command. */
  lastCommand: string;
  /** Set by QUIT: the connection ends after the reply. */
  quitting: boolean;
  /** The connection is gone. */
  closed: boolean;
  readonly writes: WriteLog;
  /** What it is subscribed to, as one character a byte; kept by `Subscriptions`. */
  readonly channels: Set<string>;
  readonly patterns: Set<string>;
  /** Sends something that no command asked for; set by the connection. */
  push: (reply: Reply) => void;
}

/** In RESP2 a subscribed client may do little else: what comes could not be told from replies. */
export function isSubscribed({ channels, patterns }: Session): boolean {
  return channels.size + patterns.size > 0;
}

export function createSession(id: number, address: string, localAddress: string, nowMs: number): Session {
  return {
    id,
    address,
    localAddress,
    openedAtMs: nowMs,
    lastActiveAtMs: nowMs,
    name: '',
    version: 2,
    libraryName: '',
    libraryVersion: '',
    noEvict: false,
    database: 0,
    transaction: null,
    watched: null,
    lastCommand: 'NULL',
    quitting: false,
    closed: false,
    writes: new WriteLog(),
    channels: new Set(),
    patterns: new Set(),
    push: () => undefined,
  };
}
