import { describe } from 'vitest';
import { createIdentity } from '../../src/adapters/libp2p/identity.ts';
import { createLibp2pTransport } from '../../src/adapters/libp2p/transport.ts';
import { MemoryNetwork } from '../support/memory-transport.ts';
import { RecordingLog } from '../support/recording-log.ts';
import { describeTransport } from './transport-suite.ts';

describe('memory transport', () => {
  describeTransport(() => {
    const network = new MemoryNetwork();
    return { create: async (secret) => network.create(secret) };
  });
});

describe('libp2p transport', () => {
  describeTransport(() => ({
    create: async (secret) =>
      createLibp2pTransport({
        identity: await createIdentity(),
        secret,
        hello: { clusterId: 'contract', versionMin: 1, versionMax: 1, shards: 256 },
        listen: ['/ip4/127.0.0.1/tcp/0'],
        mdns: false,
        log: new RecordingLog(),
      }),
  }));
});
