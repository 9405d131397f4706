import type { RespVersion } from './reply.ts';

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
  /** Name of the latest command. */
  lastCommand: string;
  /** Set by QUIT: the connection ends after the reply. */
  quitting: boolean;
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
    lastCommand: 'NULL',
    quitting: false,
  };
}
