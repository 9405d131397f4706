import type { IncomingMessage } from 'node:http';
import { rawPath } from './target.ts';

/** What POST can do with a key: the last part of the path. */
const KEY_OPERATIONS = ['increment', 'add', 'remove', 'fields'] as const;
export type KeyOperation = (typeof KEY_OPERATIONS)[number];

/** The constraint of such a route: the router itself cannot match what follows a wildcard. */
export function onOperation(keyOperation: KeyOperation): { readonly keyOperation: KeyOperation } {
  return { keyOperation };
}

/** The operation that a route is constrained to; undefined for other routes. */
export function operationIn(constraints: unknown): KeyOperation | undefined {
  const { keyOperation } = Object(constraints) as { keyOperation?: KeyOperation };
  return keyOperation;
}

/** For the router's `constraints`. Values of routes are stored by the operation. */
export const keyOperationStrategy = {
  name: 'keyOperation',
  storage: () => {
    const stored = new Map<unknown, never>();
    return {
      get: (operation: unknown) => stored.get(operation) ?? null,
      set: (operation: unknown, route: unknown) => void stored.set(operation, route as never),
    };
  },
  // Undefined for any other request; the router takes that for "no constraint", though its types do not say so.
  deriveConstraint: ({ method, url = '' }: IncomingMessage) =>
    (method === 'POST' ? operationOf(rawPath(url)) : undefined) as KeyOperation,
};

/** What precedes the bucket, at a node or a hub. */
const PREFIX = /^\/v1\/(?:sites\/[^/]*\/)?kv\//;

function operationOf(path: string): KeyOperation | undefined {
  const [prefix] = PREFIX.exec(path) ?? [];
  if (prefix === undefined) return undefined;
  const slash = path.indexOf('/', prefix.length);
  const last = path.lastIndexOf('/');
  // What follows the bucket is a key, whatever it is called.
  if (last === slash) return undefined;
  return KEY_OPERATIONS.find((operation) => path.endsWith(operation) && path.length - last === operation.length + 1);
}
