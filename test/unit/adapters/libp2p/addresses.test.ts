import { multiaddr } from '@multiformats/multiaddr';
import { describe, expect, it } from 'vitest';
import { announceable, dialable, parseAddress, rankAddresses } from '../../../../src/adapters/libp2p/addresses.ts';
import { TransportError } from '../../../../src/ports/transport.ts';

const PEER = '12D3KooWQ5RBf2z5tRR4rKLPsxZbRUn9u4FmWmXW3rHuQ4pPCKgt';
const OTHER = '12D3KooWRaiUVvXQmdwqPUR6RLVWT6TXNfi5sGZcYUFQTXa6vjA1';

const texts = (addresses: readonly { toString(): string }[]): string[] => addresses.map(String);

describe('parseAddress', () => {
  it('takes TCP multiaddrs with and without a peer id', () => {
    for (const text of ['/ip4/10.0.0.1/tcp/7400', '/dns4/node1/tcp/7400', `/ip6/fd00::1/tcp/1/p2p/${PEER}`]) {
      expect(parseAddress(text).toString()).toBe(text);
    }
  });

  it.each([
    '',
    'node1:7400',
    '/ip4/10.0.0.1',
    '/ip4/10.0.0.1/udp/7400',
    '/ip4/10.0.0.300/tcp/1',
    '/ip4/10.0.0.1/tcp/70000',
    '/ip4/10.0.0.1/tcp/80/ws',
  ])('refuses "%s" and says how to write it', (text) => {
    expect(() => parseAddress(text)).toThrow(TransportError);
    expect(() => parseAddress(text)).toThrow(/write it like \/ip4/);
  });
});

describe('announceable', () => {
  const lo = multiaddr('/ip4/127.0.0.1/tcp/7400');
  const bridge = multiaddr('/ip4/172.17.0.1/tcp/7400');
  const lan = multiaddr('/ip4/192.168.1.5/tcp/7400');
  const lan6 = multiaddr('/ip6/fd00::5/tcp/7400');
  const bridges = new Set(['172.17.0.1']);

  it('prefers real interfaces, then bridges, then loopback', () => {
    expect(texts(announceable([lo, lan6, bridge, lan], bridges))).toEqual(texts([lan, lan6]));
    expect(texts(announceable([lo, bridge], bridges))).toEqual(texts([bridge]));
    expect(texts(announceable([lo], bridges))).toEqual(texts([lo]));
    expect(announceable([], bridges)).toEqual([]);
  });
});

describe('dialable', () => {
  it('keeps order, puts loopback last, drops junk, repeats, other peers and own addresses', () => {
    const own = [multiaddr('/ip4/172.17.0.1/tcp/7400')];
    const given = [
      '/ip4/127.0.0.1/tcp/7400',
      '/ip4/10.0.0.2/tcp/7400',
      `/ip4/10.0.0.2/tcp/7400/p2p/${PEER}`,
      `/ip4/10.0.0.3/tcp/7400/p2p/${OTHER}`,
      '/ip4/172.17.0.1/tcp/7400',
      'nonsense',
      '/ip4/10.0.0.1/tcp/7400',
    ];
    expect(texts(dialable(given, PEER, own))).toEqual([
      `/ip4/10.0.0.2/tcp/7400/p2p/${PEER}`,
      `/ip4/10.0.0.1/tcp/7400/p2p/${PEER}`,
      `/ip4/127.0.0.1/tcp/7400/p2p/${PEER}`,
    ]);
  });

  it('takes no more than 16', () => {
    const many = Array.from({ length: 100 }, (_, i) => `/ip4/10.0.0.${i}/tcp/7400`);
    expect(dialable(many, PEER, []).length).toBe(16);
  });
});

describe('rankAddresses', () => {
  const announced = ['/ip4/10.0.0.1/tcp/7400', '/ip4/10.0.0.2/tcp/7400', '/ip4/10.0.0.3/tcp/7400'];

  it('puts the address that was reached first', () => {
    const ranked = rankAddresses(announced, PEER, { reached: multiaddr('/ip4/10.9.9.9/tcp/7400') });
    expect(ranked[0]).toBe(`/ip4/10.9.9.9/tcp/7400/p2p/${PEER}`);
    expect(ranked.length).toBe(4);
  });

  it('puts the listening address of the host that an inbound connection came from first', () => {
    const ranked = rankAddresses(announced, PEER, { seen: multiaddr('/ip4/10.0.0.3/tcp/51234') });
    expect(ranked[0]).toBe(`/ip4/10.0.0.3/tcp/7400/p2p/${PEER}`);
    expect(ranked.length).toBe(3);
  });
});
