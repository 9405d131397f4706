import { createServer } from 'node:net';

/** Whether a TCP endpoint can be listened on: opens it and closes it again. Rejects with the system's error. */
export function tryListen(host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve()));
  });
}
