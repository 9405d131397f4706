import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import { DemoError } from './wait.ts';

/** Below the range from which systems take the ports of outgoing connections. */
const PORT_MIN = 20_000;
const PORT_RANGE = 10_000;
const PORT_TRIES_MAX = 1000;

/** Goes round, so that no port is given out twice before somebody listens on it. */
let next = randomBytes(2).readUInt16BE() % PORT_RANGE;

/** Ports of 127.0.0.1 on which nothing listens now; others with every call. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  for (let tries = 0; ports.length < count; tries++) {
    const port = PORT_MIN + next;
    next = (next + 1) % PORT_RANGE;
    if (tries >= PORT_TRIES_MAX) throw new DemoError(`no ${count} free ports on 127.0.0.1 near ${port}`);
    if (await isFree(port)) ports.push(port);
  }
  return ports;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}
