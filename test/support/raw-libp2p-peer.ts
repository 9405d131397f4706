import { noise } from '@chainsafe/libp2p-noise';
import { yamux } from '@chainsafe/libp2p-yamux';
import type { GossipSub, GossipSubComponents } from '@libp2p/gossipsub';
import { gossipsub } from '@libp2p/gossipsub';
import { identify } from '@libp2p/identify';
import type { Connection, Libp2p, Stream } from '@libp2p/interface';
import { tcp } from '@libp2p/tcp';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';
import type { ClusterHello } from '../../src/adapters/libp2p/admission-handshake.ts';
import { AdmissionHandshake } from '../../src/adapters/libp2p/admission-handshake.ts';
import { ADMISSION_PROTOCOL, deriveAdmissionKey } from '../../src/adapters/libp2p/admissions.ts';
import { encodeFrame, FrameReader } from '../../src/adapters/libp2p/frame-reader.ts';
import { HANDSHAKE_BYTES_MAX } from '../../src/adapters/libp2p/mutual-handshake.ts';

/** An ordinary libp2p host with gossipsub, which knows the protocols and keeps no promise. */
export interface RawPeer {
  readonly libp2p: Libp2p<{ pubsub: GossipSub }>;
  readonly publications: string[];
  dial(address: string): Promise<Connection>;
  /** Runs the admission handshake as the dialling side; resolves with how it ended. */
  admit(connection: Connection, secret: string, hello: ClusterHello): Promise<string>;
}

/** `eager`: asks every peer for its protocols and opens gossip streams by itself; otherwise it waits to be approached. */
export async function createRawPeer(options: { eager: boolean }): Promise<RawPeer> {
  const libp2p = await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionMonitor: { enabled: false },
    services: {
      identify: identify({ runOnConnectionOpen: options.eager }),
      pubsub: (components: GossipSubComponents) =>
        gossipsub({ allowPublishToZeroTopicPeers: true, floodPublish: true })(components),
    },
  });
  const publications: string[] = [];
  libp2p.services.pubsub.addEventListener('message', (event) => {
    publications.push(new TextDecoder().decode(event.detail.data));
  });
  return {
    libp2p,
    publications,
    dial: (address) => libp2p.dial(multiaddr(address)),
    admit: (connection, secret, hello) => admit(libp2p.peerId.toString(), connection, secret, hello),
  };
}

async function admit(self: string, connection: Connection, secret: string, hello: ClusterHello): Promise<string> {
  const stream: Stream = await connection.newStream(ADMISSION_PROTOCOL);
  const handshake = new AdmissionHandshake({
    role: 'initiator',
    key: await deriveAdmissionKey(secret, hello.clusterId),
    self,
    peer: connection.remotePeer.toString(),
    hello: { ...hello, addresses: [] },
  });
  const reader = new FrameReader(HANDSHAKE_BYTES_MAX);
  return new Promise((resolve) => {
    // What the stream still holds is handed out after it has closed.
    stream.addEventListener('close', () => setTimeout(() => resolve('closed'), 500));
    stream.addEventListener('message', ({ data }) => {
      reader.push(data, (message) => {
        const step = handshake.handleMessage(message);
        if (step.send !== undefined) stream.send(encodeFrame(step.send));
        if (step.outcome?.kind === 'admitted') resolve('admitted');
        if (step.outcome?.kind === 'refused') resolve(step.outcome.code);
      });
    });
    stream.send(encodeFrame(handshake.start() as Uint8Array));
  });
}
