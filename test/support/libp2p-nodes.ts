import { createIdentity } from '../../src/adapters/libp2p/identity.ts';
import type { Libp2pTransportOptions } from '../../src/adapters/libp2p/transport.ts';
import { createLibp2pTransport } from '../../src/adapters/libp2p/transport.ts';
import type { Transport } from '../../src/ports/transport.ts';
import { RecordingHandler } from './recording-handler.ts';
import { RecordingLog } from './recording-log.ts';

export const HELLO = { clusterId: 'integration', versionMin: 1, versionMax: 1, shards: 256 };
export const SECRET = 'f'.repeat(64);

export interface TestNode {
  readonly transport: Transport;
  readonly seen: RecordingHandler;
  readonly log: RecordingLog;
  readonly address: string;
}

/** Starts libp2p transports on loopback and stops them all together. */
export class Libp2pNodes {
  readonly nodes: TestNode[] = [];

  async start(options: Partial<Libp2pTransportOptions> = {}): Promise<TestNode> {
    const log = new RecordingLog();
    const seen = new RecordingHandler();
    const transport = await createLibp2pTransport({
      identity: options.identity ?? (await createIdentity()),
      secret: SECRET,
      hello: HELLO,
      listen: ['/ip4/127.0.0.1/tcp/0'],
      mdns: false,
      log,
      ...options,
    });
    await transport.start(seen);
    const node = { transport, seen, log, address: transport.addresses()[0] ?? '' };
    this.nodes.push(node);
    return node;
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.splice(0).map(({ transport }) => transport.stop()));
  }
}

/** The address without the peer id: a seed as an operator writes it. */
export function seedOf(node: TestNode): string {
  return node.address.replace(/\/p2p\/.*$/, '');
}

export function portOf(node: TestNode): number {
  return Number(/\/tcp\/(\d+)/.exec(node.address)?.[1]);
}

export function numbered(value: number, size = 64): Uint8Array {
  const frame = new Uint8Array(size);
  new DataView(frame.buffer).setUint32(0, value);
  return frame;
}

export function numberOf(frame: Uint8Array): number {
  return new DataView(frame.buffer, frame.byteOffset).getUint32(0);
}
