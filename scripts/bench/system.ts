import type { Address, Dialect } from './load.ts';
import type { Processes } from './processes.ts';

export type OperationKind = 'put' | 'get-quorum' | 'get-one';

/** One kind of request to a system. */
export interface Operation {
  readonly kind: OperationKind;
  /** As it is called in the table. */
  readonly title: string;
  readonly protocol: 'http' | 'resp' | 'nats';
  readonly targets: readonly Address[];
  readonly dialect: Dialect;
  /** The bytes of a request, as Latin-1; gets ignore the value. */
  readonly request: (key: string, value: string, connection: number) => string;
}

/** A running system that can be measured. */
export interface System {
  readonly name: SystemName;
  readonly pids: readonly number[];
  readonly operations: readonly Operation[];
}

export const SYSTEM_NAMES = ['holdfast', 'etcd', 'nats', 'redis'] as const;
export type SystemName = (typeof SYSTEM_NAMES)[number];

/** What a system needs to start. */
export interface Ground {
  readonly processes: Processes;
  /** An empty directory of its own. */
  readonly directory: string;
}

export const LOOPBACK = '127.0.0.1';

export function loopback(port: number): Address {
  return { host: LOOPBACK, port };
}

/** A request with a body, or without one where `body` is undefined. */
export function httpRequest(method: string, path: string, body?: string): string {
  const head = `${method} ${path} HTTP/1.1\r\nHost: ${LOOPBACK}\r\n`;
  return body === undefined ? `${head}\r\n` : `${head}Content-Length: ${body.length}\r\n\r\n${body}`;
}

/** A command in the form that Redis clients send. */
export function respCommand(...words: readonly string[]): string {
  let text = `*${words.length}\r\n`;
  for (const word of words) text += `$${word.length}\r\n${word}\r\n`;
  return text;
}
