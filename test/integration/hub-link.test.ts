import { randomBytes } from 'node:crypto';
import { connect, createServer, type Server, Socket } from 'node:net';
import type { Connection, Libp2p, Stream } from '@libp2p/interface';
import { multiaddr } from '@multiformats/multiaddr';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Compression, compressions, decompress } from '../../src/adapters/libp2p/frame-compression.ts';
import { encodeFrame, FrameReader } from '../../src/adapters/libp2p/frame-reader.ts';
import { createSiteToken, HubHandshake, siteKeyOf } from '../../src/adapters/libp2p/hub-admission.ts';
import { createHubHost, HUB_PROTOCOL } from '../../src/adapters/libp2p/hub-host.ts';
import { createHubLink } from '../../src/adapters/libp2p/hub-link.ts';
import { createHubListener } from '../../src/adapters/libp2p/hub-listener.ts';
import { createIdentity } from '../../src/adapters/libp2p/identity.ts';
import type { SiteToken } from '../../src/lib/site-token.ts';
import { HUB_FRAME_BYTES_MAX, type HubRequest } from '../../src/ports/hub-link.ts';
import { CausalContext } from '../../src/protocol/causal/context.ts';
import type { UplinkItem } from '../../src/protocol/uplink/message.ts';
import { decodeHubAnswer } from '../../src/wire/hub-message.ts';
import { addSite, bare, HubEnds, reopen, type TestHub } from '../support/hub-ends.ts';
import { Libp2pNodes } from '../support/libp2p-nodes.ts';
import { sendAndEnd } from '../support/raw-socket.ts';
import { RecordingLog } from '../support/recording-log.ts';
import { until } from '../support/until.ts';

const ACTOR = 'a1b2c3d4e5f60718';

function item(key: string, value: Uint8Array): UplinkItem {
  const dot = { actor: ACTOR, counter: 1 };
  const payload = { kind: 'register' as const, value, contentType: 'application/octet-stream' };
  return {
    bucket: 'readings',
    key,
    entries: [{ dot, hlc: 1, expiresAtMs: 0, payload }],
    past: null,
    events: CausalContext.fromDots([dot]),
    more: false,
    sent: null,
  };
}

/** A request with a value for each of `values`. */
function push(...values: Uint8Array[]): HubRequest {
  const items = values.map((value, index) => item(`k${index}`, value));
  return {
    type: 'hub-push',
    pushes: [
      {
        shard: 3,
        context: new CausalContext(),
        items,
        later: new CausalContext(),
        skipped: new CausalContext(),
        skippedOf: [],
        own: new CausalContext(),
      },
    ],
  };
}

const ask: HubRequest = { type: 'hub-ask', shards: [1, 2, 3], combined: 7 };

let ends: HubEnds;

beforeEach(() => {
  ends = new HubEnds();
});

afterEach(async () => {
  await ends.stop();
  // Both ends let go of all that they had open.
  await until('no socket is left open', () => !process.getActiveResourcesInfo().some((name) => name.startsWith('TCP')));
});

describe('a session', () => {
  it('carries requests, answers and news, and names both ends', async () => {
    const hub = await ends.hub();
    const identity = await createIdentity();
    const { link, seen } = await ends.link(hub, addSite(hub), { identity });
    expect(seen).toMatchObject({ ups: 1, downs: [] });
    const session = hub.seen.opened[0];
    expect(session).toMatchObject({ site: 'farm', peer: identity.peer });

    expect(link.send(11, ask)).toBeGreaterThan(0);
    await until('the request is answered', () => seen.replies.length === 1);
    expect(hub.seen.requests).toEqual([{ site: 'farm', id: 11, request: ask }]);
    expect(seen.replies).toEqual([{ id: 11, reply: { type: 'hub-noted' } }]);

    session?.tell({ type: 'hub-news', shards: [5, 9] });
    await until('the news arrive', () => seen.news.length === 1);
    expect(seen.news).toEqual([{ type: 'hub-news', shards: [5, 9] }]);

    // Both ends count the same bytes, in opposite directions.
    const traffic = link.traffic();
    expect(traffic.sentBytes).toBeGreaterThan(0);
    expect(session?.traffic()).toEqual({ sentBytes: traffic.receivedBytes, receivedBytes: traffic.sentBytes });
  });

  it('is opened with and without the peer id of the hub in its address', async () => {
    const hub = await ends.hub();
    const token = addSite(hub);
    expect((await ends.link(hub, token)).seen.ups).toBe(1);
    expect((await ends.link({ address: bare(hub.address) }, token)).seen.ups).toBe(1);
  });

  it('says what is said in one turn in one write to the socket, with and without the peer id', async () => {
    const hub = await ends.hub();
    const token = addSite(hub);
    for (const address of [hub.address, bare(hub.address)]) {
      const { link, seen } = await ends.link({ address }, token);
      const writes = vi.spyOn(Socket.prototype, 'write');
      for (const id of [1, 2, 3]) link.send(id, ask);
      await until('all are answered', () => seen.replies.length === 3);
      expect(writes).toHaveBeenCalledTimes(2);
      writes.mockRestore();
    }
  });

  it('keeps the order of many requests and answers, though the hub answers late', async () => {
    const hub = await ends.hub();
    hub.seen.answer = (session, id) => {
      setImmediate(() => session.reply(id, { type: 'hub-completed', done: true, digest: id }));
    };
    const { link, seen } = await ends.link(hub, addSite(hub));
    const ids = Array.from({ length: 3000 }, (_, id) => id);
    for (const id of ids) expect(link.send(id, ask)).toBeGreaterThan(0);
    await until('all are answered', () => seen.replies.length === ids.length);
    expect(seen.replies.map(({ id }) => id)).toEqual(ids);
    expect(hub.seen.requests.map(({ id }) => id)).toEqual(ids);
  });

  it('reads no more requests than it has answered, but for a few', async () => {
    const hub = await ends.hub();
    hub.seen.answer = () => undefined;
    const { link, seen } = await ends.link(hub, addSite(hub));
    for (let id = 0; id < 200; id++) link.send(id, ask);
    const session = hub.seen.opened[0];
    await until('the hub has its hands full', () => hub.seen.requests.length >= 16);
    for (let id = 0; id < 200; id++) {
      await until('the next request is read', () => hub.seen.requests.length > id);
      expect(hub.seen.requests.length).toBeLessThanOrEqual(id + 16);
      session?.reply(id, { type: 'hub-noted' });
    }
    await until('all are answered', () => seen.replies.length === 200);
  });

  it.each([...compressions()])('carries frames of 3 MiB both ways with %s', async (compression) => {
    const hub = await ends.hub({ compressions: [compression] });
    const values = Array.from({ length: 3 }, () => new Uint8Array(randomBytes(1024 * 1024 - 1024)));
    const request = push(...values);
    const items = values.map((value, index) => item(`k${index}`, value));
    const empty = new CausalContext();
    hub.seen.answer = (session, id) => {
      session.reply(id, { type: 'hub-pulled', shard: 3, context: empty, own: empty, items, more: false, compare: [] });
    };
    const { link, seen } = await ends.link(hub, addSite(hub));
    expect(link.send(1, request)).toBeGreaterThan(3 * 1000 * 1000);
    await until('the answer arrives', () => seen.replies.length === 1);
    expect(hub.seen.requests[0]?.request).toEqual(request);
    expect(seen.replies[0]?.reply).toMatchObject({ type: 'hub-pulled', items });
  });

  it.each<readonly [readonly Compression[], readonly Compression[]]>([
    [compressions(), compressions()],
    [['deflate'], compressions()],
    [compressions(), ['deflate']],
  ])('compresses what a node that knows %j says to a hub that knows %j', async (ofLink, ofHub) => {
    const hub = await ends.hub({ compressions: ofHub });
    const { link, seen } = await ends.link(hub, addSite(hub), { compressions: ofLink });
    const before = link.traffic().sentBytes;
    const text = Buffer.from('{"sensor":"north","value":17}'.repeat(1000));
    const encoded = link.send(1, push(new Uint8Array(text)));
    await until('it is answered', () => seen.replies.length === 1);
    expect(encoded).toBeGreaterThan(text.length);
    expect(link.traffic().sentBytes - before).toBeLessThan(encoded / 20);
  });

  it('takes no more than it can queue, and says so', async () => {
    const hub = await ends.hub();
    hub.seen.answer = () => undefined;
    const { link } = await ends.link(hub, addSite(hub));
    const request = push(new Uint8Array(randomBytes(900 * 1024)));
    let taken = 0;
    while (link.send(taken, request) > 0) {
      taken++;
      expect(taken).toBeLessThan(40);
    }
    expect(taken).toBeGreaterThanOrEqual(8);
    const tooLarge = push(...Array.from({ length: 5 }, () => new Uint8Array(1000 * 1024)));
    const other = await ends.link(hub, addSite(hub, 'barn'));
    expect(other.link.send(1, tooLarge)).toBe(0);
    expect(other.link.send(2, ask)).toBeGreaterThan(0);
  });

  it('refuses an answer that no frame holds, instead of leaving the request without any', async () => {
    const hub = await ends.hub();
    const items = Array.from({ length: 5 }, (_, index) => item(`k${index}`, new Uint8Array(1000 * 1024)));
    const empty = new CausalContext();
    hub.seen.answer = (session, id) => {
      session.reply(id, { type: 'hub-pulled', shard: 3, context: empty, own: empty, items, more: false, compare: [] });
    };
    const { link, seen } = await ends.link(hub, addSite(hub));
    link.send(5, ask);
    await until('it is answered', () => seen.replies.length === 1);
    expect(seen.replies[0]).toMatchObject({ id: 5, reply: { type: 'hub-refused', code: 'bad-request' } });
    expect(hub.log.lines.filter(({ level }) => level === 'error')).toHaveLength(1);
  });

  it('ends with the reason that the hub gives, and may be opened anew', async () => {
    const hub = await ends.hub();
    const ofLink = await ends.link(hub, addSite(hub));
    hub.seen.opened[0]?.close('the site was removed');
    await until('the link is down', () => ofLink.seen.downs.length === 1);
    expect(ofLink.seen.downs).toEqual([{ reason: 'closed', detail: expect.stringContaining('the site was removed') }]);
    expect(hub.seen.closed).toEqual(hub.seen.opened);
    expect(ofLink.link.send(1, ask)).toBe(0);
    await reopen(ofLink);
    expect(ofLink.seen.ups).toBe(2);
  });

  it('tells the node nothing more once it has closed its link, and tells the hub', async () => {
    const hub = await ends.hub();
    const { link, seen } = await ends.link(hub, addSite(hub));
    link.close();
    expect(link.send(1, ask)).toBe(0);
    await until('the hub knows', () => hub.seen.closed.length === 1);
    expect(seen).toMatchObject({ ups: 1, downs: [] });
    const again = { link, seen };
    await reopen(again);
    expect(seen.ups).toBe(2);
  });
});

describe('attempts that fail', () => {
  it.each([
    ['another token', (hub: TestHub) => (addSite(hub), createSiteToken('farm'))],
    ['the token of a site that there is not', () => createSiteToken('barn')],
  ])('%s is refused as a bad token', async (_name, tokenFor) => {
    const hub = await ends.hub();
    const { link, seen } = await ends.link(hub, tokenFor(hub));
    expect(seen.downs).toEqual([{ reason: 'bad-token', detail: expect.stringMatching(/issued last/) }]);
    expect(link.send(1, ask)).toBe(0);
    expect(hub.seen.opened).toEqual([]);
    expect(hub.log.warnings()).toHaveLength(1);
  });

  it('tells the operator of the hub apart what it does not tell strangers', async () => {
    const hub = await ends.hub();
    addSite(hub);
    await ends.link(hub, createSiteToken('farm'));
    await ends.link(hub, createSiteToken('barn'));
    expect(hub.log.warnings()).toEqual([
      expect.stringMatching(/holds another token/),
      expect.stringMatching(/names a site that there is not/),
    ]);
  });

  it('a hub that has not issued the token is recognised, though it lets everybody in', async () => {
    const impostor = await fakeHub({ key: siteKeyOf(createSiteToken('farm')), believes: true });
    const { seen } = await ends.link(impostor, createSiteToken('farm'));
    expect(seen.downs).toEqual([{ reason: 'wrong-hub', detail: expect.stringMatching(/could not prove/) }]);
    await impostor.libp2p.stop();
  });

  it('a hub with another peer id than the address says is told nothing', async () => {
    const hub = await ends.hub();
    const token = addSite(hub);
    const { peer } = await createIdentity();
    const { link, seen } = await ends.link({ address: `${bare(hub.address)}/p2p/${peer}` }, token);
    expect(seen.downs).toEqual([{ reason: 'wrong-hub', detail: expect.stringMatching(/another hub or node answers/) }]);
    expect(link.traffic().sentBytes).toBe(0);
  });

  it('a hub of other versions says which, and so does the node', async () => {
    const token = createSiteToken('farm');
    const newer = await fakeHub({ key: siteKeyOf(token), versions: { versionMin: 8, versionMax: 9 } });
    const { seen } = await ends.link(newer, token);
    expect(seen.downs).toEqual([{ reason: 'version-mismatch', detail: expect.stringMatching(/update the older/) }]);
    await newer.libp2p.stop();
  });

  it('what is no hub is recognised: a node, an HTTP server, this node itself, and nothing at all', async () => {
    const token = createSiteToken('farm');
    const cluster = new Libp2pNodes();
    const node = await cluster.start();
    const ofNode = await ends.link(node, token);
    expect(ofNode.seen.downs).toEqual([{ reason: 'wrong-hub', detail: expect.stringMatching(/is no hub/) }]);
    await cluster.stop();

    const http = await tcpServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    const ofHttp = await ends.link(http, token);
    expect(ofHttp.seen.downs).toEqual([{ reason: 'unreachable', detail: expect.stringMatching(/check the address/) }]);
    await http.close();

    const refused = await ends.link(http, token);
    expect(refused.seen.downs).toEqual([{ reason: 'refused', detail: expect.stringMatching(/nothing listens/) }]);

    const identity = await createIdentity();
    const hub = await ends.hub({ identity });
    const self = await ends.link(hub, addSite(hub), { identity });
    expect(self.seen.downs).toEqual([{ reason: 'wrong-hub', detail: expect.stringMatching(/this node itself/) }]);
  });

  it('a hub that accepts and never says anything is given up', async () => {
    const token = createSiteToken('farm');
    const mute = await tcpServer(() => undefined);
    const ofMute = await ends.link(mute, token, { dialTimeoutMs: 300 });
    expect(ofMute.seen.downs).toEqual([{ reason: 'timeout', detail: expect.stringMatching(/300 ms/) }]);
    await mute.close();

    const slow = await ends.hub();
    slow.seen.lookUp = () => new Promise(() => undefined);
    const ofSlow = await ends.link(slow, token, { handshakeTimeoutMs: 300 });
    expect(ofSlow.seen.downs).toEqual([{ reason: 'timeout', detail: expect.stringMatching(/handshake/) }]);
  });

  it('a hub that cannot look its sites up says so, and is tried again', async () => {
    const hub = await ends.hub();
    const token = addSite(hub);
    hub.seen.lookUp = () => Promise.reject(new Error('no database'));
    const ofLink = await ends.link(hub, token);
    expect(ofLink.seen.downs).toEqual([{ reason: 'closed', detail: expect.stringMatching(/database/) }]);
    hub.seen.lookUp = undefined;
    await reopen(ofLink);
    expect(ofLink.seen.ups).toBe(1);
  });

  it('says nothing to who has closed the link before there was an outcome', async () => {
    const hub = await ends.hub();
    const ofLink = await ends.link(hub, addSite(hub));
    ofLink.link.close();
    ofLink.link.open(ofLink.seen);
    ofLink.link.close();
    const other = await ends.link(hub, addSite(hub, 'barn'));
    expect(other.seen.ups).toBe(1);
    expect(ofLink.seen).toMatchObject({ ups: 1, downs: [] });
  });

  it('is not created for an address that is none', async () => {
    const options = { identity: await createIdentity(), token: createSiteToken('farm'), log: new RecordingLog() };
    expect(() => createHubLink({ ...options, address: 'hub.example.org:7500' })).toThrow(/not a TCP multiaddr/);
    expect(() => createHubListener({ ...options, listen: ['0.0.0.0:7500'] })).toThrow(/not a TCP multiaddr/);
  });
});

describe('a hub that goes', () => {
  it('stops, which its sites hear, and comes back, and they find it again', async () => {
    const identity = await createIdentity();
    const hub = await ends.hub({ identity });
    const token = addSite(hub);
    const ofLink = await ends.link(hub, token);
    await hub.listener.stop();
    await until('the link is down', () => ofLink.seen.downs.length === 1);
    expect(ofLink.seen.downs[0]).toMatchObject({ reason: 'closed' });
    expect(hub.seen.closed).toEqual(hub.seen.opened);
    await reopen(ofLink);
    expect(ofLink.seen.downs[1]).toMatchObject({ reason: 'refused' });

    const again = await ends.hub({ identity, listen: [bare(hub.address)] });
    again.seen.keys.set('farm', siteKeyOf(token));
    await reopen(ofLink);
    expect(ofLink.seen.ups).toBe(2);
    ofLink.link.send(1, ask);
    await until('it answers', () => ofLink.seen.replies.length === 1);
  });

  it('says which address it cannot listen on', async () => {
    const hub = await ends.hub();
    await expect(ends.hub({ listen: [bare(hub.address)] })).rejects.toMatchObject({ code: 'address-in-use' });
  });

  it('is noticed though its machine says nothing any more, and the hub notices the site', async () => {
    const hub = await ends.hub({ keepAliveMs: 100 });
    const proxy = await tcpProxy(hub.address);
    const { link, seen } = await ends.link(proxy, addSite(hub), { keepAliveMs: 100 });
    // Idle for many intervals, and still there.
    const before = link.traffic().receivedBytes;
    await until('pings are answered', () => link.traffic().receivedBytes >= before + 20 * 5);
    expect(seen.downs).toEqual([]);
    expect(hub.seen.open).toHaveLength(1);

    proxy.swallow();
    await until('the node gives up', () => seen.downs.length === 1);
    expect(seen.downs[0]).toMatchObject({ reason: 'closed', detail: expect.stringMatching(/does not answer/) });
    await until('the hub gives up', () => hub.seen.closed.length === 1);
    await proxy.close();
  });
});

describe('the limits of a hub', () => {
  it('shows a sign of life to who waits for answers, though it reads nothing more until some are given', async () => {
    const hub = await ends.hub({ keepAliveMs: 2000 });
    hub.seen.answer = () => undefined;
    const { link, seen } = await ends.link(hub, addSite(hub), { keepAliveMs: 2000 });
    const before = link.traffic().receivedBytes;
    for (let id = 0; id < 20; id++) link.send(id, ask);
    const signs = (): number => (link.traffic().receivedBytes - before) / 5;
    await until('it has said so for long, or was given up', () => signs() >= 10 || seen.downs.length > 0);
    expect(seen.downs).toEqual([]);
    expect(hub.seen.requests).toHaveLength(16);
  });

  it('holds to a number of sessions, of a site and of all', async () => {
    const hub = await ends.hub({ limits: { sessionsMax: 3, sessionsPerSiteMax: 2 } });
    const farm = addSite(hub, 'farm');
    const barn = addSite(hub, 'barn');
    for (let i = 0; i < 2; i++) expect((await ends.link(hub, farm)).seen.ups).toBe(1);
    const third = await ends.link(hub, farm);
    expect(third.seen.downs).toEqual([{ reason: 'closed', detail: expect.stringMatching(/as many sessions/) }]);
    expect((await ends.link(hub, barn)).seen.ups).toBe(1);
    expect((await ends.link(hub, barn)).seen.downs).toHaveLength(1);
    expect(hub.seen.open).toHaveLength(3);
    hub.seen.open[0]?.close('makes room');
    await until('there is room', () => hub.seen.closed.length === 1);
    await reopen(third);
    expect(third.seen.ups).toBe(1);
  });

  it('holds to a number of sessions of a token, whatever sites it names', async () => {
    const hub = await ends.hub({ limits: { sessionsPerTokenMax: 2 } });
    const farm = addSite(hub, 'farm');
    const key = await hub.seen.siteKey('farm');
    hub.seen.lookUp = async () => key;
    for (const below of ['a', 'b']) expect((await ends.link(hub, farm, { below })).seen.ups).toBe(1);
    for (const below of ['c', 'c:d', undefined]) {
      const { seen } = await ends.link(hub, farm, below === undefined ? {} : { below });
      expect(seen.downs).toEqual([{ reason: 'closed', detail: expect.stringMatching(/as many sessions/) }]);
    }
    hub.seen.lookUp = undefined;
    expect((await ends.link(hub, addSite(hub, 'farm-2'))).seen.ups).toBe(1);
  });

  it('replaces the session of a node that dials again', async () => {
    const hub = await ends.hub({ limits: { sessionsPerSiteMax: 1 } });
    const token = addSite(hub);
    const identity = await createIdentity();
    const first = await ends.link(hub, token, { identity });
    const second = await ends.link(hub, token, { identity });
    expect(second.seen.ups).toBe(1);
    await until('the first one is told', () => first.seen.downs.length === 1);
    expect(first.seen.downs[0]?.detail).toMatch(/another session/);
    expect(hub.seen.open).toHaveLength(1);
  });

  it('hangs up on who proves nothing, and takes so many of them at once', async () => {
    const hub = await ends.hub({ limits: { strangersMax: 2, handshakeTimeoutMs: 2000 } });
    const raw = await rawSite();
    const connections: Connection[] = [];
    for (let i = 0; i < 4; i++) connections.push(await raw.dial(multiaddr(hub.address), { force: true }));
    await until('all but two are hung up on', () => connections.filter(isOpen).length === 2);
    await until('the others are hung up on too', () => connections.filter(isOpen).length === 0);
    await expectWorks(hub);
    await raw.stop();
  });
});

describe('strangers', () => {
  it('garbage on the port does the hub no harm', async () => {
    const hub = await ends.hub();
    const port = Number(/\/tcp\/(\d+)/.exec(hub.address)?.[1]);
    const inputs = [
      Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
      Buffer.alloc(100_000, 0xff),
      Buffer.from('\x13/multistream/1.0.0\n'),
      Buffer.concat([Buffer.from('\x13/multistream/1.0.0\n\x07/noise\n'), Buffer.alloc(70_000, 7)]),
    ];
    await Promise.all(inputs.map((input) => sendAndEnd(port, input)));
    await expectWorks(hub);
  });

  it.each([
    ['an impossible length', Buffer.alloc(64, 0xff)],
    ['an unknown message', encodeFrame(Uint8Array.of(9, 9, 9))],
    ['a hello that is none', encodeFrame(Buffer.from('\x01{"site":"farm"}'))],
    ['a proof before the hello', encodeFrame(Uint8Array.of(2, ...new Uint8Array(32)))],
  ])('the right protocol with %s gets nobody in', async (_name, bytes) => {
    const hub = await ends.hub();
    addSite(hub);
    const raw = await rawSite();
    const stream = await (await raw.dial(multiaddr(hub.address))).newStream(HUB_PROTOCOL);
    stream.send(bytes);
    await until('the hub hangs up', () => stream.status !== 'open');
    expect(hub.seen.opened).toEqual([]);
    await expectWorks(hub);
    await raw.stop();
  });

  it('a proof that comes while the site is looked up gets nobody in', async () => {
    const hub = await ends.hub();
    const token = addSite(hub);
    let answer: (key: Uint8Array) => void = () => undefined;
    hub.seen.lookUp = () => new Promise((resolve) => (answer = resolve));
    const raw = await rawSite();
    const connection = await raw.dial(multiaddr(hub.address));
    const stream = await connection.newStream(HUB_PROTOCOL);
    const handshake = HubHandshake.ofSite({
      token,
      self: raw.peerId.toString(),
      peer: connection.remotePeer.toString(),
    });
    stream.send(encodeFrame(handshake.start() as Uint8Array));
    stream.send(encodeFrame(Uint8Array.of(2, ...new Uint8Array(32))));
    await until('the hub hangs up', () => stream.status !== 'open');
    answer(siteKeyOf(token));
    hub.seen.lookUp = undefined;
    expect(hub.seen.opened).toEqual([]);
    await expectWorks(hub);
    await raw.stop();
  });

  it('a site that breaks the format loses its session, and what cannot be read is answered so', async () => {
    const hub = await ends.hub();
    const token = addSite(hub, 'broken');
    const raw = await rawSite();
    const frames = {
      'an impossible length': Uint8Array.of(0xff, 0xff, 0xff, 0xff),
      'an unknown kind': encodeFrame(Uint8Array.of(77)),
      'what does not decompress': encodeFrame(Uint8Array.of(1, 2, 3, 4)),
      'no id': encodeFrame(Uint8Array.of(0, 0xff)),
    };
    for (const [name, frame] of Object.entries(frames)) {
      const { stream } = await rawSession(raw, hub, token);
      const closed = hub.seen.closed.length;
      stream.send(frame);
      await until(`the session ends after ${name}`, () => hub.seen.closed.length > closed);
    }
    const { stream, received } = await rawSession(raw, hub, token);
    stream.send(encodeFrame(Uint8Array.of(0, 42, 99)));
    await until('it is answered', () => received.length > 0);
    expect(decodeHubAnswer(received[0] ?? new Uint8Array(0))).toMatchObject({
      id: 42,
      reply: { type: 'hub-refused', code: 'bad-request', detail: expect.stringMatching(/unknown tag 99/) },
    });
    expect(hub.seen.requests).toEqual([]);
    await expectWorks(hub);
    await raw.stop();
  });

  it('a frame that claims to be large and never comes does not hold up anybody else', async () => {
    const hub = await ends.hub();
    const raw = await rawSite();
    const { stream } = await rawSession(raw, hub, addSite(hub, 'slow'));
    const header = new Uint8Array(4);
    new DataView(header.buffer).setUint32(0, HUB_FRAME_BYTES_MAX);
    stream.send(header);
    await expectWorks(hub);
    expect(hub.seen.open.map(({ site }) => site)).toContain('slow');
    await raw.stop();
  });
});

/** A site with a valid token gets in and is answered. */
async function expectWorks(hub: TestHub): Promise<void> {
  const { link, seen } = await ends.link(hub, addSite(hub, 'honest'));
  expect(seen).toMatchObject({ ups: 1, downs: [] });
  link.send(1, ask);
  await until('the honest site is answered', () => seen.replies.length === 1);
}

function isOpen(connection: Connection): boolean {
  return connection.status === 'open';
}

async function host(listen: readonly string[]): Promise<{ libp2p: Libp2p; address: string; peer: string }> {
  const identity = await createIdentity();
  const { libp2p, listening } = await createHubHost({
    identity,
    listen: listen.map((text) => multiaddr(text)),
    connectionsMax: 100,
    log: new RecordingLog(),
    isClosed: () => false,
  });
  await libp2p.start();
  return { libp2p, address: listening()[0]?.toString() ?? '', peer: identity.peer };
}

/** A libp2p host that knows the protocol and keeps no promise. */
async function rawSite(): Promise<Libp2p> {
  return (await host([])).libp2p;
}

/** Gets in with a valid token; `received`: what the hub says then. */
async function rawSession(
  raw: Libp2p,
  hub: TestHub,
  token: SiteToken,
): Promise<{ stream: Stream; received: Uint8Array[] }> {
  const connection = await raw.dial(multiaddr(hub.address), { force: true });
  const stream = await connection.newStream(HUB_PROTOCOL);
  const peer = connection.remotePeer.toString();
  const handshake = HubHandshake.ofSite({ token, self: raw.peerId.toString(), peer, compressions: ['deflate'] });
  const reader = new FrameReader(HUB_FRAME_BYTES_MAX);
  const received: Uint8Array[] = [];
  let isIn = false;
  stream.addEventListener('message', ({ data }) => {
    reader.push(data, (frame) => {
      if (isIn) {
        const body = frame.subarray(1);
        received.push(frame[0] === 0 ? body : (decompress('deflate', body, HUB_FRAME_BYTES_MAX) ?? body));
        return;
      }
      const step = handshake.handleMessage(frame);
      if (step.send !== undefined) stream.send(encodeFrame(step.send));
      isIn = step.outcome?.kind === 'admitted';
    });
  });
  stream.send(encodeFrame(handshake.start() as Uint8Array));
  await until('the raw site is let in', () => isIn);
  return { stream, received };
}

/** Runs the hub's part of the handshake with a key of its own. `believes`: forges its proof whatever the site has proved. */
async function fakeHub(options: {
  readonly key: Uint8Array;
  readonly believes?: boolean;
  readonly versions?: { readonly versionMin: number; readonly versionMax: number };
}): Promise<{ libp2p: Libp2p; address: string }> {
  const { libp2p, address, peer: self } = await host(['/ip4/127.0.0.1/tcp/0']);
  await libp2p.handle(HUB_PROTOCOL, (stream, connection) => {
    const { versions } = options;
    const peer = connection.remotePeer.toString();
    const handshake = HubHandshake.ofHub({ self, peer, ...(versions === undefined ? {} : { versions }) });
    const reader = new FrameReader(HUB_FRAME_BYTES_MAX);
    stream.addEventListener('message', ({ data }) => {
      reader.push(data, (message) => {
        const step = handshake.handleMessage(message);
        handshake.useSiteKey(options.key);
        const forged = options.believes === true && step.outcome !== undefined;
        const send = forged ? Uint8Array.of(2, ...randomBytes(32)) : step.send;
        if (send !== undefined) stream.send(encodeFrame(send));
      });
    });
  });
  return { libp2p, address };
}

async function tcpServer(
  handleSocket: (socket: Socket) => void,
): Promise<{ readonly address: string; readonly server: Server; close(): Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
    handleSocket(socket);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : 0;
  return {
    address: `/ip4/127.0.0.1/tcp/${port}`,
    server,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** Passes bytes on until it swallows them, as a network does whose cable is cut: neither end hears that the other is gone. */
async function tcpProxy(to: string): Promise<{ readonly address: string; swallow(): void; close(): Promise<void> }> {
  const port = Number(/\/tcp\/(\d+)/.exec(to)?.[1]);
  let swallows = false;
  const outbound = new Set<Socket>();
  const { address, close } = await tcpServer((socket) => {
    const other = connect(port, '127.0.0.1');
    outbound.add(other);
    for (const [from, into] of [
      [socket, other],
      [other, socket],
    ] as const) {
      from.on('data', (bytes) => {
        if (!swallows) into.write(bytes);
      });
      from.on('error', () => from.destroy());
    }
  });
  return {
    address,
    swallow: () => {
      swallows = true;
    },
    close: async () => {
      for (const socket of outbound) socket.destroy();
      await close();
    },
  };
}
