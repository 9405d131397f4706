import { connect } from 'node:net';

/**
 * Sends bytes to a TCP port and returns everything that came back until the other side closed the connection, or until
 * `enough` says so.
 */
export function exchange(
  port: number,
  bytes: string | Uint8Array,
  enough: (received: string) => boolean = () => false,
  timeoutMs = 20_000,
): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = '';
    const socket = connect({ port, host: '127.0.0.1' });
    const finish = (): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(received);
    };
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error(`port ${port} neither answered nor closed in ${timeoutMs} ms; received ${received}`));
    }, timeoutMs);
    socket.on('connect', () => socket.write(bytes));
    socket.on('data', (chunk: Buffer) => {
      received += chunk.toString('latin1');
      if (enough(received)) finish();
    });
    socket.on('error', finish);
    socket.on('close', finish);
  });
}

/** Sends bytes to a TCP port, says that nothing more comes, and waits until the other side has closed the connection too. */
export async function sendAndEnd(port: number, bytes: Uint8Array): Promise<void> {
  await new Promise<void>((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.end(bytes));
    socket.on('error', () => resolve());
    socket.on('close', () => resolve());
    socket.resume();
  });
}
