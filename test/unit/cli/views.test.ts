import { afterEach, describe, expect, it } from 'vitest';
import { type FakeNode, fakeNode, json, problem, run } from './harness.ts';

let node: FakeNode | undefined;

afterEach(async () => {
  await node?.close();
  node = undefined;
});

const STATUS = {
  name: 'edge-1',
  peerId: '12D3KooWA',
  clusterId: 'c0ffee',
  version: '0.1.0',
  bootEpoch: 3,
  uptimeSeconds: 7510,
  level: 'degraded',
  members: { alive: 4, suspect: 0, dead: 1, left: 0 },
  ringEpoch: 4,
  shards: { owned: 153, complete: 150, transferring: 3, behind: 7 },
  disk: { usedBytes: 1_300_000, freeBytes: 37_000_000_000, readOnly: false },
  scrub: { running: true, lastFinishedAt: null, corruptRecords: 0 },
  hints: { records: 12, bytes: 4096, dropped: 0 },
};

const MEMBERS = {
  members: [
    {
      name: 'edge-2',
      peerId: '12D3KooWB',
      state: 'dead',
      health: 'degraded',
      incarnation: 7,
      zone: '',
      labels: {},
      addresses: [],
      score: 0.5,
      rttMs: null,
      since: '2026-02-26T11:00:00.000Z',
      self: false,
    },
    {
      name: 'edge-1',
      peerId: '12D3KooWA',
      state: 'alive',
      health: 'healthy',
      incarnation: 1,
      zone: 'north',
      labels: {},
      addresses: ['/ip4/10.0.0.1/tcp/7400/p2p/12D3KooWA'],
      score: 0.875,
      rttMs: 0.42,
      rttEstimated: false,
      missedProbes: 0,
      errorRate: 0,
      since: '2026-03-01T11:58:00.000Z',
      self: true,
    },
    {
      name: 'edge-3',
      peerId: '12D3KooWC',
      state: 'alive',
      health: 'degraded',
      incarnation: 1,
      zone: 'north',
      labels: {},
      addresses: ['/ip4/10.0.0.3/tcp/7400/p2p/12D3KooWC'],
      score: 0.5,
      rttMs: 41.2,
      rttEstimated: true,
      missedProbes: 5,
      errorRate: 0.25,
      since: '2026-03-01T11:58:00.000Z',
      self: false,
    },
  ],
};

const RING = {
  epoch: 4,
  shards: 256,
  replicas: 3,
  members: [
    { name: 'b', peerId: 'B', state: 'dead', in: true, weight: 2, zone: 'south', shards: 380 },
    { name: 'a', peerId: 'A', state: 'alive', in: true, weight: 1, zone: 'north', shards: 190 },
    { name: 'c', peerId: 'C', state: null, in: true, weight: 1, zone: '', shards: 198 },
    { name: 'd', peerId: 'D', in: false, place: 'out', weight: 1, zone: '', shards: 0 },
    { name: 'e', peerId: 'E', in: false, place: 'removed', weight: 1, zone: '', shards: 0 },
  ],
  changing: { shards: 1, moved: 40 },
};

async function show(args: string[], answer: unknown, options: Parameters<typeof run>[1] = {}) {
  node = await fakeNode(json(answer));
  return run([...args, '--api', node.api], options);
}

describe('status', () => {
  it('prints one screen', async () => {
    const { status, out, err } = await show(['status'], STATUS);
    expect([status, err]).toEqual([0, '']);
    expect(node?.requests[0]?.url).toBe('/v1/status');
    expect(out).toMatchInlineSnapshot(`
      "node     edge-1 (12D3KooWA)
      cluster  c0ffee
      version  0.1.0, start 3, up 2 h 5 min
      level    degraded
      members  4 alive, 0 suspect, 1 dead, 0 left
      ring     epoch 4
      shards   153 owned, 150 complete, 3 in transfer, 7 behind other owners
      disk     1.2 MiB used, 34.5 GiB free
      scrub    no pass finished yet, one under way
      hints    12 writes waiting (4.0 KiB)
      "
    `);
  });

  it('passes the answer through with --json, in one line', async () => {
    const answer = { ...STATUS, added: 'later' };
    const { status, out } = await show(['status', '--json'], answer);
    expect(status).toBe(0);
    expect(JSON.parse(out)).toEqual(answer);
    expect(out.trimEnd()).not.toContain('\n');
  });

  it('colours only on a terminal, and not with NO_COLOR', async () => {
    const coloured = await show(['status'], STATUS, { isTTY: true });
    expect(coloured.out).toContain('\u001b[33mdegraded\u001b[39m');
    await node?.close();
    const plain = await show(['status'], STATUS, { isTTY: true, env: { NO_COLOR: '1' } });
    expect(plain.out).not.toContain('\u001b');
    await node?.close();
    expect((await show(['status'], STATUS, { isTTY: true, env: { TERM: 'dumb' } })).out).not.toContain('\u001b');
  });

  it('says when the node is not in the ring', async () => {
    expect((await show(['status'], { ...STATUS, ringPlace: 'out' })).out).toContain(
      'this node is out: it owns no data',
    );
    await node?.close();
    expect((await show(['status'], { ...STATUS, ringPlace: 'removed' })).out).toContain('removed for good');
    await node?.close();
    expect((await show(['status'], { ...STATUS, ringPlace: 'in' })).out).not.toContain('owns no data');
  });

  it('says when the disk is full and hints were dropped', async () => {
    const { out } = await show(['status'], {
      ...STATUS,
      disk: { ...STATUS.disk, readOnly: true },
      scrub: { running: false, lastFinishedAt: '2026-01-02T03:04:05.000Z', corruptRecords: 2 },
      hints: { records: 0, bytes: 0, dropped: 9 },
    });
    expect(out).toContain('34.5 GiB free, full: writes are refused');
    expect(out).toContain('none waiting, 9 dropped');
    expect(out).toContain('last pass finished 2026-01-02T03:04:05.000Z, 2 bad records found');
  });

  it('says when the node serves no requests, and why', async () => {
    const { out } = await show(['status'], { ...STATUS, notReady: 'the node is starting; retry in a moment' });
    expect(out).toContain('\nserving  no: the node is starting; retry in a moment\n');
    await node?.close();
    expect((await show(['status'], { ...STATUS, notReady: null })).out).not.toContain('serving');
  });

  it('says when the disk had lost records', async () => {
    const { out } = await show(['status'], { ...STATUS, disk: { ...STATUS.disk, recordsLost: 'a cut log' } });
    expect(out).toContain('34.5 GiB free, lost data before this start (a cut log)');
    await node?.close();
    const sound = await show(['status'], { ...STATUS, disk: { ...STATUS.disk, recordsLost: null } });
    expect(sound.out).not.toContain('lost');
  });

  it('says when it is the headroom that writes are refused for', async () => {
    const disk = { ...STATUS.disk, headroomBytes: 100 * 1024 ** 3, readOnly: true };
    expect((await show(['status'], { ...STATUS, disk })).out).toContain(
      '34.5 GiB free, writes are refused until a quarter more than tuning.diskHeadroomBytes (100.0 GiB) is free',
    );
  });
});

describe('members', () => {
  it('prints a table sorted by name', async () => {
    const { out } = await show(['members'], MEMBERS);
    expect(out).toMatchInlineSnapshot(`
      "NAME     STATE  HEALTH    ZONE   SCORE       RTT  MISSED  ERRORS  SINCE      ADDRESS
      edge-1*  alive  healthy   north   0.88    0.4 ms       -       -  2 min ago  /ip4/10.0.0.1/tcp/7400
      edge-2   dead   -         -          -         -       -       -  3 d ago    -
      edge-3   alive  degraded  north   0.50  ~41.2 ms    5/16    25 %  2 min ago  /ip4/10.0.0.3/tcp/7400
      "
    `);
  });

  it('names the zone that counts, and its own where an operator has set another', async () => {
    const [first] = MEMBERS.members;
    const zones = [
      ['hall-2', 'hall-1'],
      ['', 'hall-1'],
      ['hall-1', ''],
      ['hall-1', 'hall-1'],
    ];
    const members = zones.map(([zone, ownZone], i) => ({ ...first, name: `n${i}`, zone, ownZone }));
    const rows = (await show(['members'], { members })).out.split('\n').slice(1, -1);
    expect(rows.map((row) => row.split(/ {2,}/)[3])).toEqual([
      'hall-2 (own: hall-1)',
      '- (own: hall-1)',
      'hall-1 (own: -)',
      'hall-1',
    ]);
  });

  it('tells members of the same name apart by their peer ids', async () => {
    const members = MEMBERS.members.map((member, i) => (i === 2 ? member : { ...member, name: 'edge-1' }));
    const rows = (await show(['members'], { members })).out.split('\n').slice(1, -1);
    expect(rows.map((row) => row.split(/ +/).at(-1))).toEqual([
      '/ip4/10.0.0.1/tcp/7400/p2p/12D3KooWA',
      '/p2p/12D3KooWB',
      '/ip4/10.0.0.3/tcp/7400',
    ]);
  });

  it('has no time for a member that nothing was heard of since the start', async () => {
    const [gone] = MEMBERS.members;
    const { out } = await show(['members'], { members: [{ ...gone, since: null }] });
    expect(out.split('\n')[1]?.trim().split(/ +/)).toEqual(['edge-2', 'dead', ...Array<string>(8).fill('-')]);
  });

  it('keeps columns aligned when coloured', async () => {
    const { out } = await show(['members'], MEMBERS, { isTTY: true });
    const plain = out.replace(/\u001b\[\d+m/g, '').replace(/ +$/gm, '');
    await node?.close();
    expect(plain).toBe((await show(['members'], MEMBERS)).out);
  });

  it('does not let a name steer the terminal', async () => {
    const [first] = MEMBERS.members;
    const { out } = await show(['members'], { members: [{ ...first, name: 'x\u001b[2J\u202e' }] }, { isTTY: true });
    expect(out).toContain('x\\u001b[2J\\u202e');
    expect(out).not.toContain('\u001b[2J');
  });
});

describe('hub-status', () => {
  const hub = {
    address: '/dns4/hub.example/tcp/7500',
    site: 'plant-7',
    connected: false,
    carrying: false,
    problem: 'refused: nothing listens there',
    backlog: { events: 1, oldestSeconds: 3 },
    islandBacklog: { events: 210, oldestSeconds: 75 },
    lastSyncAt: null,
    conflicts: 0,
  };

  it('prints one screen: what waits for the hub, and why', async () => {
    const { status, out, err } = await show(['hub-status'], hub);
    expect([status, err]).toEqual([0, '']);
    expect(node?.requests[0]?.url).toBe('/v1/hub');
    expect(out).toMatchInlineSnapshot(`
      "hub            /dns4/hub.example/tcp/7500
      site           plant-7
      connected      no
      waiting here   1 write, the oldest for 3 s
      in the island  210 writes, the oldest for 1 min 15 s
      last in step   -
      problem        refused: nothing listens there
      "
    `);
  });

  it('says that nothing waits, and who has the session', async () => {
    const nothing = { events: 0, oldestSeconds: 0 };
    const well = { connected: true, carrying: true, problem: null, backlog: nothing, islandBacklog: nothing };
    const { out } = await show(['hub-status'], { ...hub, ...well, lastSyncAt: '2026-03-01T11:59:48.000Z' });
    expect(out).toMatchInlineSnapshot(`
      "hub            /dns4/hub.example/tcp/7500
      site           plant-7
      connected      yes, by this node
      waiting here   nothing
      in the island  nothing
      last in step   2026-03-01T11:59:48.000Z
      "
    `);
  });

  it('of a hub speaks of the one above it', async () => {
    const { conflicts: _, ...above } = hub;
    const { out } = await show(['hub-status'], { ...above, connected: true, carrying: true });
    expect(out).toMatchInlineSnapshot(`
      "hub above     /dns4/hub.example/tcp/7500
      site          plant-7
      connected     yes, by this process
      waiting here  1 write, the oldest for 3 s
      in all        210 writes, the oldest for 1 min 15 s
      last in step  -
      "
    `);
  });

  it('is a line of the status', async () => {
    expect((await show(['status'], { ...STATUS, hub })).out).toContain(
      '\nhub      not connected (`holdfast hub-status` says why), 210 writes, the oldest for 1 min 15 s, wait for it\n',
    );
    const well = { ...hub, connected: true, islandBacklog: { events: 0, oldestSeconds: 0 } };
    expect((await show(['status'], { ...STATUS, hub: well })).out).toContain(
      '\nhub      connected, nothing waits for it\n',
    );
    expect((await show(['status'], { ...STATUS, hub: null })).out).not.toContain('\nhub ');
  });

  it('says where to begin without a hub', async () => {
    const { status, out } = await show(['hub-status'], null);
    expect([status, out]).toEqual([
      0,
      'no hub is configured; a node, or a hub below another one, is started with --hub and --hub-token-file\n',
    ]);
  });
});

describe('conflicts', () => {
  const write = (text: string, by: string) => ({
    by,
    at: '2026-03-01T11:00:00.000Z',
    value: Buffer.from(text).toString('base64'),
    contentType: 'text/plain',
  });
  const about = { bucket: 'orders', key: 'order/17', at: '2026-03-01T11:58:00.000Z' };
  const { value: _, ...left } = write('', 'edge-2');
  const answer = {
    conflicts: [
      { ...about, winner: write('paid', 'edge-1'), loser: write('open\u001b[2J', 'hub') },
      { ...about, key: 'order/9', winner: write('a', 'edge-1'), loser: write('x'.repeat(50), 'edge-2') },
      { ...about, key: 'photo', winner: write('a', 'edge-1'), loser: { ...left, leftOutBytes: 200_000 } },
    ],
    next: '77-1-00000000000000a1-5',
    missing: ['edge-3'],
  };

  it('prints one screen: what was lost, and by whom', async () => {
    const { status, out, err } = await show(['conflicts', '--bucket', 'orders', '--limit', '3'], answer);
    expect(status).toBe(0);
    expect(node?.requests[0]?.url).toBe('/v1/conflicts?bucket=orders&limit=3');
    expect(out).toMatchInlineSnapshot(`
      "NOTICED    BUCKET  KEY       KEPT BY  LOST BY  WRITTEN  LOST VALUE
      2 min ago  orders  order/17  edge-1   hub      1 h ago  open\\u001b[2J
      2 min ago  orders  order/9   edge-1   edge-2   1 h ago  xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
      2 min ago  orders  photo     edge-1   edge-2   1 h ago  <195.3 KiB, too long to be kept>
      "
    `);
    expect(err).toMatchInlineSnapshot(`
      "holdfast: there are more — go on with --before 77-1-00000000000000a1-5
      holdfast: not asked, since they do not answer: edge-3; they may know of others
      "
    `);
  });

  it('goes on, and passes on what the node says', async () => {
    const { out } = await show(['conflicts', '--before', answer.next, '--json'], answer);
    expect(node?.requests[0]?.url).toBe(`/v1/conflicts?before=${answer.next}&limit=20`);
    expect(JSON.parse(out)).toEqual(answer);
  });

  it('says that there are none', async () => {
    const { out, err } = await show(['conflicts'], { conflicts: [], next: null, missing: [] });
    expect([out, err]).toEqual(['no write is known to have lost\n', '']);
  });

  it('asks a hub about a site', async () => {
    const { out, err } = await show(['conflicts', '--site', 'hall-2'], { conflicts: answer.conflicts, next: 7 });
    expect(node?.requests[0]?.url).toBe('/v1/sites/hall-2/conflicts?limit=20');
    expect(out.split('\n')).toHaveLength(5);
    expect(err).toBe('holdfast: there are more — go on with --before 7\n');
    const refused = await run(['conflicts', '--site', 'hall-2', '--bucket', 'orders']);
    expect([refused.status, refused.err]).toEqual([
      2,
      'holdfast: a hub lists the conflicts of all buckets of a site — leave out --bucket\n',
    ]);
  });
});

describe('islands', () => {
  const of = (name: string, state: string | null, place = 'in') => ({ name, peerId: name, state, place, since: null });
  const none = { leader: null, term: null, quorate: null };

  it('prints one screen: what is here, and what was lost together', async () => {
    const answer = {
      level: 'island',
      levelSince: '2026-03-01T11:59:48.000Z',
      components: [
        {
          self: true,
          members: [of('edge-1', 'alive'), of('edge-2', 'suspect')],
          leader: 'edge-1',
          term: 7,
          quorate: false,
          since: '2026-03-01T11:59:48.000Z',
        },
        { self: false, members: [of('edge-5', null, 'missing')], ...none, since: null },
        {
          self: false,
          members: [of('edge-3', 'dead'), of('edge-4', 'dead', 'out')],
          ...none,
          since: '2026-03-01T11:59:48.000Z',
        },
      ],
    };
    const { status, out, err } = await show(['islands'], answer);
    expect([status, err]).toEqual([0, '']);
    expect(node?.requests[0]?.url).toBe('/v1/islands');
    expect(out).toMatchInlineSnapshot(`
      "level    island, since 12 s ago
      reached  2 of 5 members

      PART  SINCE     LEADER                       MEMBERS
      here  12 s ago  edge-1, term 7, not quorate  edge-1, edge-2 (suspect)
      lost  -         -                            edge-5 (unknown, missing)
      lost  12 s ago  -                            edge-3 (dead), edge-4 (dead, out)
      "
    `);
  });

  it('says that all are here, and that nobody leads', async () => {
    const members = [of('edge-1', 'alive'), of('edge-2', 'alive')];
    const own = { self: true, members, leader: null, term: 0, quorate: false, since: null };
    const { out } = await show(['islands'], { level: 'connected', levelSince: null, components: [own] });
    expect(out).toMatchInlineSnapshot(`
      "level    connected
      reached  all of 2 members

      PART  SINCE  LEADER  MEMBERS
      here  -      none    edge-1, edge-2
      "
    `);
  });
});

describe('ring', () => {
  it('prints the balance with bars', async () => {
    const { out } = await show(['ring'], RING, { env: { LANG: 'C.UTF-8' } });
    expect(out).toMatchInlineSnapshot(`
      "epoch 4, 256 shards, 3 replicas, 1 shard moving at this node, 40 done

      NAME  STATE  ZONE   RING  WEIGHT  SHARDS  OF FAIR SHARE
      a     alive  north  in         1     190           99 %  ████████████
      b     dead   south  in         2     380           99 %  ████████████████████████
      c     -      -      in         1     198          103 %  █████████████
      d     -      -      out        1       0              -

      1 member removed for good (--json lists all)
      "
    `);
  });

  it('prints who decides about strong buckets', async () => {
    const electorate = { epoch: 4, electors: ['edge-2', 'edge-1'], previous: null };
    const { out } = await show(['ring'], { ...RING, electorate });
    expect(out).toContain('Strong buckets: edge-1, edge-2 decide (epoch 4)');
    const changing = { ...electorate, previous: ['edge-1'] };
    expect((await show(['ring'], { ...RING, electorate: changing })).out).toContain(', changing from edge-1');
  });

  it('prints who holds the buckets with placements of their own', async () => {
    const placements = [
      {
        replicas: 1,
        preferredZones: [],
        buckets: ['camera', 'scratch'],
        members: [
          { name: 'b', peerId: 'B', shards: 130 },
          { name: 'a', peerId: 'A', shards: 126 },
        ],
      },
      {
        replicas: 2,
        preferredZones: ['north'],
        buckets: ['meters'],
        members: [
          { name: 'a', peerId: 'A', shards: 256 },
          { name: 'b', peerId: 'B', shards: 200 },
        ],
      },
    ];
    const { out } = await show(['ring'], { ...RING, placements }, { env: { LANG: 'C.UTF-8' } });
    expect(out.slice(out.indexOf('buckets with'))).toMatchInlineSnapshot(`
      "buckets with a placement of their own
        1  1 replica: camera, scratch
        2  2 replicas, zones north first: meters

      NAME  SHARDS 1  SHARDS 2
      a          126       256
      b          130       200
      "
    `);
  });

  it('draws bars of # where the terminal has no UTF-8', async () => {
    const { out } = await show(['ring'], RING, { env: { LC_ALL: 'C', LANG: 'C.UTF-8' } });
    expect(out).toContain('#'.repeat(24));
    expect(out).not.toContain('█');
  });
});

describe('bucket', () => {
  it.each(['', 'a,,b', 'a,'.repeat(8) + 'a', 'z'.repeat(65), 'a,bad zone'])(
    'create refuses the zones %j',
    async (zones) => {
      const { status, err } = await run(['bucket', 'create', 'b', '--preferred-zones', zones]);
      expect(status).toBe(2);
      expect(err).toContain('Name up to 8 zones');
    },
  );

  const bucket = {
    name: 'default',
    consistency: 'eventual',
    conflict: 'lww',
    replicas: 3,
    sync: 'up',
    ttlSeconds: null,
    island: 'accept',
  };

  it('list prints a table', async () => {
    const placement = { replicas: 2, preferredZones: ['hall-1', 'hall-2'] };
    const readings = { ...bucket, ...placement, name: 'readings', sync: 'none', ttlSeconds: 86_400 } as const;
    const buckets = [bucket, { ...readings, island: 'refuse' }];
    expect((await show(['bucket', 'list'], { buckets })).out).toMatchInlineSnapshot(`
      "NAME      CONSISTENCY  CONFLICT  REPLICAS  ZONES           SYNC  TTL    ISLAND
      default   eventual     lww              3  -               up    never  accept
      readings  eventual     lww              2  hall-1, hall-2  none  1 d    refuse
      "
    `);
  });

  it('show prints fields', async () => {
    expect((await show(['bucket', 'show', 'default'], bucket)).out).toMatchInlineSnapshot(`
      "name             default
      consistency      eventual
      conflict         lww
      replicas         3
      preferred zones  -
      sync             up
      ttl              never
      in an island     writes are taken
      "
    `);
    expect(node?.requests[0]?.url).toBe('/v1/buckets/default');
  });

  it('create sends the settings', async () => {
    const { status, out } = await show(
      [
        'bucket',
        'create',
        'carts',
        '--conflict',
        'siblings',
        '--replicas',
        '5',
        '--ttl',
        '60',
        '--preferred-zones',
        'b, a',
        '--island',
        'refuse',
      ],
      { ...bucket, name: 'carts' },
    );
    expect([status, out]).toEqual([0, 'bucket carts is there\n']);
    expect(node?.requests[0]).toMatchObject({ method: 'PUT', url: '/v1/buckets/carts' });
    expect(JSON.parse(node?.requests[0]?.body ?? '')).toEqual({
      consistency: 'eventual',
      conflict: 'siblings',
      replicas: 5,
      preferredZones: ['b', 'a'],
      sync: 'none',
      ttlSeconds: 60,
      island: 'refuse',
    });
  });
});

describe('failures', () => {
  it('of the node print title, detail and code', async () => {
    node = await fakeNode(
      problem(404, {
        title: 'Bucket not found',
        detail: 'there is no bucket x; create it first',
        code: 'bucket-not-found',
      }),
    );
    expect(await run(['bucket', 'show', 'x', '--api', node.api])).toMatchObject({
      status: 1,
      out: '',
      err: 'holdfast: Bucket not found: there is no bucket x; create it with `holdfast bucket create`, or see `holdfast bucket list` (bucket-not-found)\n',
    });
  });

  it('of something that is no node name it', async () => {
    node = await fakeNode((_request, response) => response.writeHead(502).end('<html>'));
    const { status, err } = await run(['status', '--api', node.api]);
    expect(status).toBe(1);
    expect(err).toBe(`holdfast: ${node.api} answered 502 Bad Gateway — check that --api names a Holdfast node\n`);
    await node.close();
    node = await fakeNode((_request, response) => response.end('<html>'));
    expect((await run(['status', '--api', node.api])).err).toContain('did not answer with JSON');
    await node.close();
    node = await fakeNode(json({ name: 5 }));
    expect((await run(['status', '--api', node.api])).err).toMatch(
      /^holdfast: the node's answer is not understood \(name\)/,
    );
  });

  it('to connect name the address and what to do', async () => {
    const gone = await fakeNode(json({}));
    await gone.close();
    for (const args of [
      ['status', '--api', gone.api],
      ['events', '--follow', '--api', gone.api],
      ['get', 'b', 'k', '--api', gone.api],
    ]) {
      expect(await run(args)).toMatchObject({
        status: 1,
        out: '',
        err: `holdfast: nothing answers at ${gone.api} — start a node with \`holdfast start\`, or name another address with --api\n`,
      });
    }
  });

  it('while an answer arrives are reported', async () => {
    node = await fakeNode((_request, response) => {
      response.writeHead(200, { 'content-length': '100' }).write('{"na');
      setImmediate(() => response.destroy());
    });
    const { status, err } = await run(['status', '--api', node.api]);
    expect(status).toBe(1);
    expect(err).toMatch(/^holdfast: the connection to http.* was closed before the answer was complete — see whether/);
  });

  it('of names and timeouts have their own words', async () => {
    const failing =
      (error: Error): typeof fetch =>
      () =>
        Promise.reject(error);
    const unknown = Object.assign(new TypeError('fetch failed'), { cause: { code: 'ENOTFOUND' } });
    expect((await run(['status', '--api', 'nowhere:1'], { fetch: failing(unknown) })).err).toContain(
      'the host of http://nowhere:1 is not known',
    );
    const late = new DOMException('late', 'TimeoutError');
    expect((await run(['status'], { fetch: failing(late) })).err).toContain(
      'no answer from http://127.0.0.1:7480 within 30 s',
    );
    const both = Object.assign(new TypeError('fetch failed'), {
      cause: new AggregateError([Object.assign(new Error(''), { code: 'ECONNREFUSED' })]),
    });
    expect((await run(['status', '--api', 'localhost:1'], { fetch: failing(both) })).err).toContain(
      'nothing answers at http://localhost:1',
    );
  });

  it('of other services, ports and networks say so, and whether a write may have got there', async () => {
    const put = async (cause: object, text: string): Promise<unknown> => {
      const fetch = () => Promise.reject(Object.assign(new TypeError('fetch failed'), { cause }));
      const { status, err } = await run(['put', 'default', 'k', 'v', '--json'], { fetch });
      const told = JSON.parse(err) as { code: string; message: string; stateChanged?: string };
      expect(told).toMatchObject({ code: 'unreachable', message: expect.stringContaining(text) });
      expect([status, told.message.includes('fetch failed')]).toEqual([1, false]);
      return told.stateChanged;
    };
    expect(await put({ code: 'UND_ERR_SOCKET' }, 'was closed before the answer was complete')).toBe('maybe');
    expect(await put(new Error('Parse Error'), 'no connection to http://127.0.0.1:7480 (Parse Error)')).toBe('maybe');
    expect(await put({ code: 'HPE_INVALID_CONSTANT' }, 'is not HTTP')).toBeUndefined();
    expect(await put({ code: 'EHOSTUNREACH' }, 'no way leads to')).toBeUndefined();
    expect(await put({ code: 'UND_ERR_CONNECT_TIMEOUT' }, 'no connection to')).toBeUndefined();
    expect(await put({ code: 'ERR_SSL_WRONG_VERSION_NUMBER' }, 'use http:// in --api')).toBeUndefined();
    expect(await put(new Error('bad port'), 'HTTP clients refuse the port')).toBeUndefined();
  });
});

describe('the address of the API', () => {
  it('comes from --api, else HOLDFAST_API, and needs no scheme', async () => {
    node = await fakeNode(json(STATUS));
    const hostPort = node.api.replace('http://', '');
    expect((await run(['--api', hostPort, 'status'], { env: { HOLDFAST_API: 'http://127.0.0.1:1' } })).status).toBe(0);
    expect((await run(['status'], { env: { HOLDFAST_API: node.api } })).status).toBe(0);
    expect(await run(['status', '--api', 'ftp://x'])).toMatchObject({
      status: 2,
      err: 'holdfast: --api (or HOLDFAST_API) is not an HTTP address: ftp://x — use http://HOST:PORT\n',
    });
  });
});
