/**
 * A transport in a process of its own: `node libp2p-child.ts '<json options>'`. Prints one JSON line per event. With
 * `stopWhenConnected` it stops its transport after the first peer and then has to exit by itself.
 */

import type { MdnsTiming } from '../../src/adapters/libp2p/discovery.ts';
import { createIdentity } from '../../src/adapters/libp2p/identity.ts';
import { createLibp2pTransport } from '../../src/adapters/libp2p/transport.ts';
import { HELLO, SECRET } from './libp2p-nodes.ts';
import { RecordingLog } from './recording-log.ts';

interface ChildOptions {
  readonly seeds?: readonly string[];
  readonly mdns?: MdnsTiming | false;
  readonly clusterId?: string;
  readonly stopWhenConnected?: boolean;
}

const options = JSON.parse(process.argv[2] ?? '{}') as ChildOptions;
const print = (event: Record<string, unknown>): void => {
  process.stdout.write(`${JSON.stringify({ ...event, atMs: Date.now() })}\n`);
};

const transport = await createLibp2pTransport({
  identity: await createIdentity(),
  secret: SECRET,
  hello: { ...HELLO, clusterId: options.clusterId ?? HELLO.clusterId },
  listen: ['/ip4/0.0.0.0/tcp/0'],
  seeds: options.seeds ?? [],
  mdns: options.mdns ?? false,
  log: new RecordingLog(),
});
await transport.start({
  handleConnected: (peer, addresses) => {
    print({ event: 'connected', peer, addresses });
    if (options.stopWhenConnected === true) void transport.stop().then(() => print({ event: 'stopped' }));
  },
  handleDisconnected: (peer) => print({ event: 'disconnected', peer }),
  handleDialFailed: (peer, reason) => print({ event: 'dial-failed', peer, reason }),
  handleFrame: (peer, lane) => print({ event: 'frame', peer, lane }),
  handlePublication: (topic) => print({ event: 'publication', topic }),
});
print({ event: 'ready', peer: transport.self, addresses: transport.addresses() });
