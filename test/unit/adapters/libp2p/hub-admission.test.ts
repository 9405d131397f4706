import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  commonCompression,
  createSiteToken,
  HubHandshake,
  type HubHandshakeStep,
  siteKeyOf,
} from '../../../../src/adapters/libp2p/hub-admission.ts';
import { SiteToken } from '../../../../src/lib/site-token.ts';

const TOKEN = SiteToken.of('farm', '0123456789abcdef'.repeat(4));
const KEY = siteKeyOf(TOKEN);

interface Side {
  readonly self?: string;
  readonly peer?: string;
  readonly versions?: { readonly versionMin: number; readonly versionMax: number };
}

function siteSide(side: Side & { readonly token?: SiteToken } = {}): HubHandshake {
  return HubHandshake.ofSite({ token: TOKEN, self: 'node', peer: 'hub', ...side });
}

function hubSide(side: Side = {}): HubHandshake {
  return HubHandshake.ofHub({ self: 'hub', peer: 'node', ...side });
}

interface Outcomes {
  site: HubHandshakeStep['outcome'];
  hub: HubHandshakeStep['outcome'];
  /** First bytes of all messages: what a listener can tell. */
  readonly kinds: number[];
}

/** Runs both to the end; `key`: what the hub finds for the site that is named, null: it knows none. */
function run(site: HubHandshake, hub: HubHandshake, key: Uint8Array | null = KEY): Outcomes {
  const outcomes: Outcomes = { site: undefined, hub: undefined, kinds: [] };
  let message = site.start();
  for (let turn = 0; message !== undefined && turn < 10; turn++) {
    outcomes.kinds.push(message[0] as number);
    const [to, name] = turn % 2 === 0 ? ([hub, 'hub'] as const) : ([site, 'site'] as const);
    const step: HubHandshakeStep = to.handleMessage(message);
    if (turn === 0) hub.useSiteKey(key);
    outcomes[name] ??= step.outcome;
    message = step.send;
  }
  return outcomes;
}

function sent(step: HubHandshakeStep): Uint8Array {
  if (step.send === undefined) throw new Error('nothing was sent');
  return step.send;
}

describe('HubHandshake', () => {
  it('admits a node that holds the token of its site at the hub that has issued it', () => {
    const { site, hub } = run(siteSide(), hubSide());
    expect(hub).toMatchObject({ kind: 'admitted', hello: { site: 'farm', versionMin: 1 } });
    expect(site).toMatchObject({ kind: 'admitted', hello: { site: null } });
  });

  it('admits a hub that is a site in the name of each of its own sites', () => {
    const { site, hub } = run(
      HubHandshake.ofSite({ token: TOKEN, below: 'barn', self: 'node', peer: 'hub' }),
      hubSide(),
    );
    expect(hub).toMatchObject({ kind: 'admitted', hello: { site: 'farm:barn' } });
    expect(site).toMatchObject({ kind: 'admitted' });
    const deep = HubHandshake.ofSite({ token: TOKEN, below: 'a:b:c:d', self: 'node', peer: 'hub' });
    expect(run(deep, hubSide()).hub).toMatchObject({ code: 'malformed' });
  });

  it('refuses an unknown site and a wrong token alike', () => {
    const unknown = run(siteSide(), hubSide(), null);
    const wrong = run(siteSide(), hubSide(), siteKeyOf(createSiteToken('farm')));
    for (const { site, hub, kinds } of [unknown, wrong]) {
      expect(hub).toMatchObject({ kind: 'refused', code: 'bad-token', by: 'self' });
      expect(site).toMatchObject({ kind: 'refused', code: 'bad-token', by: 'peer' });
      expect(kinds).toEqual(unknown.kinds);
    }
  });

  it('refuses the token of another site, though its secret is the same', () => {
    const other = SiteToken.of('barn', TOKEN.secret);
    expect(run(siteSide({ token: other }), hubSide()).hub).toMatchObject({ code: 'bad-token' });
  });

  it('recognises a hub that takes any token but has not issued this one', () => {
    const forged = siteSide();
    forged.handleMessage(sent(hubSide().handleMessage(forged.start() as Uint8Array)));
    const random = Uint8Array.of(2, ...new Uint8Array(32).fill(7));
    expect(forged.handleMessage(random).outcome).toMatchObject({ kind: 'refused', code: 'wrong-hub', by: 'self' });
    // The only proof that an impostor has seen is the node's own.
    const reflected = siteSide();
    const proof = sent(reflected.handleMessage(sent(hubSide().handleMessage(reflected.start() as Uint8Array))));
    expect(reflected.handleMessage(proof).outcome).toMatchObject({ kind: 'refused', code: 'wrong-hub', by: 'self' });
  });

  it('does not accept the proof of an earlier handshake', () => {
    const site = siteSide();
    const hub = hubSide();
    const hello = site.start() as Uint8Array;
    const answer = sent(hub.handleMessage(hello));
    hub.useSiteKey(KEY);
    const proof = sent(site.handleMessage(answer));
    expect(hub.handleMessage(proof).outcome).toMatchObject({ kind: 'admitted' });
    const later = hubSide();
    later.handleMessage(hello);
    later.useSiteKey(KEY);
    expect(later.handleMessage(proof).outcome).toMatchObject({ kind: 'refused', code: 'bad-token' });
  });

  it.each([{ self: 'mallory' }, { peer: 'mallory' }])('does not accept a proof passed on by %j', (side) => {
    expect(run(siteSide(side), hubSide()).hub).toMatchObject({ kind: 'refused', code: 'bad-token' });
  });

  it('refuses versions that do not overlap, and says which', () => {
    const { site, hub } = run(siteSide(), hubSide({ versions: { versionMin: 2, versionMax: 3 } }));
    expect(hub).toMatchObject({ kind: 'refused', code: 'version-mismatch', by: 'self', hello: { versionMax: 1 } });
    expect(site).toMatchObject({ kind: 'refused', code: 'version-mismatch', by: 'peer' });
    expect(run(siteSide({ versions: { versionMin: 1, versionMax: 9 } }), hubSide()).hub?.kind).toBe('admitted');
  });

  it('refuses two sites, two hubs, a name that no site has, and a proof before the key is there', () => {
    const hello = siteSide().start() as Uint8Array;
    expect(siteSide().handleMessage(hello).outcome).toMatchObject({ code: 'malformed' });
    const ofHub = sent(hubSide().handleMessage(hello));
    expect(hubSide().handleMessage(ofHub).outcome).toMatchObject({ code: 'malformed' });
    const named = Buffer.from(Buffer.from(hello).toString().replace('"farm"', '"Farm"'));
    expect(hubSide().handleMessage(named).outcome).toMatchObject({ code: 'malformed' });
    const hub = hubSide();
    hub.handleMessage(hello);
    expect(hub.handleMessage(Uint8Array.of(2, ...new Uint8Array(32))).outcome).toMatchObject({ code: 'malformed' });
  });

  it('never throws and never admits on arbitrary input', () => {
    const json = fc.json().map((text) => Buffer.concat([Buffer.of(1), Buffer.from(text)]));
    const bytes = fc
      .tuple(fc.constantFrom(0, 1, 2, 3), fc.uint8Array({ maxLength: 100 }))
      .map(([kind, rest]) => Buffer.concat([Buffer.of(kind), rest]));
    fc.assert(
      fc.property(fc.array(fc.oneof(json, bytes), { maxLength: 6 }), fc.boolean(), (messages, known) => {
        const hub = hubSide();
        const site = siteSide();
        for (const message of messages) {
          expect(hub.handleMessage(message).outcome?.kind).not.toBe('admitted');
          expect(site.handleMessage(message).outcome?.kind).not.toBe('admitted');
          hub.useSiteKey(known ? KEY : null);
        }
      }),
    );
  });
});

describe('site keys', () => {
  it('differ by site and by secret, and are the same for the same token', () => {
    const tokens = [createSiteToken('farm'), createSiteToken('farm'), SiteToken.of('barn', TOKEN.secret), TOKEN];
    const keys = tokens.map((token) => Buffer.from(siteKeyOf(token)).toString('hex'));
    expect(new Set(keys).size).toBe(4);
    expect(keys.every((key) => key.length === 64 && !key.includes(TOKEN.secret))).toBe(true);
    expect(siteKeyOf(SiteToken.of('farm', TOKEN.secret))).toEqual(KEY);
  });
});

describe('commonCompression', () => {
  it('is the best that both know, and one that everybody knows', () => {
    expect(commonCompression(['zstd', 'deflate'], ['zstd', 'deflate'])).toBe('zstd');
    expect(commonCompression(['deflate'], ['zstd', 'deflate'])).toBe('deflate');
    expect(commonCompression(['zstd', 'deflate'], [])).toBe('deflate');
  });
});
