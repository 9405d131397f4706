import { describe, expect, it } from 'vitest';
import { Prng } from '../../../../src/lib/prng.ts';
import type { MembershipEffect } from '../../../../src/protocol/membership/effect.ts';
import type { MembershipInput } from '../../../../src/protocol/membership/input.ts';
import type { MemberState } from '../../../../src/protocol/membership/member.ts';
import { MemberTable } from '../../../../src/protocol/membership/member-table.ts';
import { Membership } from '../../../../src/protocol/membership/membership.ts';
import type { MembershipMessage, MemberUpdate } from '../../../../src/protocol/membership/message.ts';
import { MEMBERSHIP_LIMITS } from '../../../../src/protocol/membership/message.ts';
import { MEMBERSHIP_DEFAULTS, type MembershipOptions } from '../../../../src/protocol/membership/options.ts';
import { Overlay } from '../../../../src/protocol/membership/overlay.ts';
import { profileOf } from '../../../support/membership-network.ts';
import { forged, signed, testClaims } from '../../../support/test-claims.ts';

const WALL_MS = 1_700_000_000_000;
const everybody = (): boolean => true;
const nobody = (): boolean => false;
const allBut =
  (absent: string) =>
  (id: string): boolean =>
    id !== absent;

/** One core, driven by hand. Effects of all turns pile up until they are taken. */
class Rig {
  nowMs = 0;
  readonly core: Membership;
  private effects: MembershipEffect[] = [];

  constructor(options: Partial<MembershipOptions> = {}) {
    const prng = new Prng(1);
    const base = { self: 'me', profile: profileOf('me'), incarnation: 0, known: [], claims: testClaims('me') };
    this.core = new Membership({ ...base, prng, ...options });
  }

  /** Started, with its incarnation on disk. */
  static ready(options: Partial<MembershipOptions> = {}): Rig {
    const rig = new Rig(options);
    rig.timeout();
    rig.persistAll();
    rig.take();
    return rig;
  }

  handle(input: MembershipInput): void {
    this.effects.push(...this.core.handle(input, this.now()));
  }

  message(from: string, message: MembershipMessage): void {
    this.handle({ type: 'message', from, message });
  }

  gossip(from: string, ...updates: MemberUpdate[]): void {
    this.message(from, { type: 'gossip', updates });
  }

  /** Has `from` suspect a member and, after the time that a refutation takes, declare it dead. */
  bury(from: string, id: string, incarnation: number): void {
    this.gossip(from, suspect(id, incarnation, from));
    this.run(1300, allBut(id));
    this.take();
    this.gossip(from, dead(id, incarnation, from));
  }

  timeout(): void {
    this.effects.push(...this.core.handleTimeout(this.now()));
  }

  /** Lets time pass, calling every deadline on time. `pinged` and `relays` answer in the same instant. */
  run(forMs: number, pinged: (to: string) => boolean = nobody, relays: (to: string) => boolean = nobody): void {
    const endMs = this.nowMs + forMs;
    for (;;) {
      const deadline = this.core.nextDeadline();
      if (deadline === undefined || deadline > endMs) break;
      this.nowMs = Math.max(this.nowMs, deadline);
      const seen = this.effects.length;
      this.timeout();
      for (const effect of this.effects.slice(seen)) {
        if (effect.type !== 'send') continue;
        const { to, message } = effect;
        const isAnswered = (message.type === 'ping' && pinged(to)) || (message.type === 'ping-request' && relays(to));
        if (isAnswered)
          this.message(to, { type: 'ack', seq: (message as { seq: number }).seq, coordinate: null, updates: [] });
      }
    }
    this.nowMs = endMs;
  }

  persistAll(): void {
    for (const effect of this.effects) {
      if (effect.type === 'persist-incarnation') {
        this.handle({ type: 'incarnation-persisted', incarnation: effect.incarnation });
      }
    }
  }

  take(): MembershipEffect[] {
    const effects = this.effects;
    this.effects = [];
    return effects;
  }

  takeSent<T extends MembershipMessage['type']>(type: T): (Extract<MembershipMessage, { type: T }> & { to: string })[] {
    return this.take().flatMap((effect) =>
      effect.type === 'send' && effect.message.type === type
        ? [{ ...(effect.message as Extract<MembershipMessage, { type: T }>), to: effect.to }]
        : [],
    );
  }

  takeChanges(): string[] {
    return this.take().flatMap((effect) =>
      effect.type === 'member-changed' ? [`${effect.member.id} ${effect.previous} ${effect.member.state}`] : [],
    );
  }

  state(id: string): MemberState | undefined {
    return this.core.member(id)?.state;
  }

  private now(): { monoMs: number; wallMs: number } {
    return { monoMs: this.nowMs, wallMs: WALL_MS + this.nowMs };
  }
}

const alive = (id: string, incarnation = 1): MemberUpdate =>
  signed({
    state: 'alive',
    id,
    incarnation,
    profile: profileOf(id),
  });
const suspect = (id: string, incarnation: number, from: string): MemberUpdate =>
  signed({
    state: 'suspect',
    id,
    incarnation,
    from,
  });
const dead = (id: string, incarnation: number, from: string): MemberUpdate =>
  signed({
    state: 'dead',
    id,
    incarnation,
    from,
  });

const left = (id: string, incarnation: number): MemberUpdate => signed({ state: 'left', id, incarnation });

function updatesAbout(id: string, effects: readonly MembershipEffect[]): MemberUpdate[] {
  return effects.flatMap((effect) =>
    effect.type === 'send' && 'updates' in effect.message ? effect.message.updates.filter((u) => u.id === id) : [],
  );
}

/** A member of the cluster whom `me` neither probes nor is probed by. */
function strangerOf(ids: readonly string[]): string {
  const table = new MemberTable('me', []);
  const overlay = new Overlay('me', table, MEMBERSHIP_DEFAULTS);
  for (const id of ids) {
    if (id === 'me') continue;
    const record = table.add(id, profileOf(id));
    table.apply(record, alive(id), { monoMs: 0, wallMs: 0 });
    overlay.handleReachable(record);
  }
  return ids.find((id) => id !== 'me' && !overlay.isNeighbour(id)) as string;
}

describe('own incarnation', () => {
  it('is on disk before anybody hears of it', () => {
    const rig = new Rig({ incarnation: 41 });
    rig.timeout();
    rig.handle({ type: 'connected', peer: 'a' });
    rig.gossip('a', alive('a'));
    rig.message('a', { type: 'ping', seq: 1, updates: [] });
    rig.run(5000);
    const before = rig.take();
    expect(updatesAbout('me', before)).toEqual([]);
    const persist = before.filter((effect) => effect.type === 'persist-incarnation');
    expect(persist).toHaveLength(1);
    rig.handle({ type: 'incarnation-persisted', incarnation: persist[0]?.incarnation ?? 0 });
    const after = rig.take();
    expect(updatesAbout('me', after)).toContainEqual(expect.objectContaining({ state: 'alive', incarnation: 42 }));
    expect(after).toContainEqual(
      expect.objectContaining({ type: 'send', to: 'a', message: expect.objectContaining({ type: 'push-pull' }) }),
    );
  });

  it('refutes with max(own, accused) + 1 in the ack of the very ping that accuses', () => {
    const rig = Rig.ready();
    rig.gossip('a', alive('a'));
    const own = rig.core.self.incarnation;
    rig.take();
    rig.message('a', { type: 'ping', seq: 9, updates: [suspect('me', own + 3, 'b')] });
    const [ack] = rig.takeSent('ack');
    expect(ack).toMatchObject({ to: 'a', seq: 9 });
    expect(ack?.updates[0]).toMatchObject({ state: 'alive', id: 'me', incarnation: own + 4 });
    expect(rig.core.stats().localHealth).toBe(1);
  });

  it('holds a refutation beyond the durable block until it is persisted', () => {
    const rig = Rig.ready();
    rig.gossip('a', alive('a'));
    rig.take();
    rig.gossip('a', dead('me', 5000, 'b'));
    rig.run(2000, everybody);
    const effects = rig.take();
    expect(updatesAbout('me', effects).filter((u) => u.incarnation > 5000)).toEqual([]);
    const persist = effects.find((effect) => effect.type === 'persist-incarnation');
    rig.handle({ type: 'incarnation-persisted', incarnation: persist?.incarnation ?? 0 });
    expect(updatesAbout('me', rig.take())).toContainEqual(
      expect.objectContaining({ state: 'alive', incarnation: 5001 }),
    );
  });

  it('goes beyond an alive claim of a lost former life', () => {
    const rig = Rig.ready();
    rig.gossip('a', alive('a'), alive('me', 30));
    expect(rig.core.self.incarnation).toBe(31);
  });

  it('goes beyond what a lost former life said under the same numbers of its start and of its claim', () => {
    const rig = Rig.ready();
    const { id, incarnation, profile } = rig.core.self;
    rig.gossip('a', alive('a'), signed({ state: 'alive', id, incarnation, profile }));
    expect(rig.core.self.incarnation).toBe(incarnation);
    const moved = { ...profile, addresses: ['/ip4/10.0.0.9/tcp/7400/p2p/me'] };
    rig.gossip('a', signed({ state: 'alive', id, incarnation, profile: moved }));
    expect(rig.core.self.incarnation).toBe(incarnation + 1);
  });

  it('tells a member what a former life of it has said under the same number', () => {
    const rig = Rig.ready();
    const former = alive('a', 5);
    rig.gossip('a', former);
    rig.take();
    rig.gossip('a', former);
    expect(rig.takeSent('gossip')).toEqual([]);
    rig.gossip('a', signed({ state: 'alive', id: 'a', incarnation: 5, profile: { ...profileOf('a'), score: 0.9 } }));
    expect(rig.takeSent('gossip')).toEqual([{ to: 'a', type: 'gossip', updates: [former] }]);
  });

  it('answers an outdated accusation of itself with its announcement', () => {
    const rig = Rig.ready({ incarnation: 10 });
    rig.gossip('a', suspect('me', 3, 'b'));
    expect(rig.takeSent('gossip')).toEqual([
      { to: 'a', type: 'gossip', updates: [expect.objectContaining({ state: 'alive', id: 'me', incarnation: 11 })] },
    ]);
  });

  it('tells everybody a changed profile under a new incarnation', () => {
    const rig = Rig.ready();
    rig.gossip('a', alive('a'));
    rig.take();
    rig.handle({ type: 'update-profile', patch: { score: 0.9 } });
    rig.run(1000, everybody);
    const effects = rig.take();
    expect(effects).toContainEqual(
      expect.objectContaining({
        type: 'member-changed',
        previous: 'alive',
        member: expect.objectContaining({ id: 'me' }),
      }),
    );
    expect(updatesAbout('me', effects)[0]).toMatchObject({ incarnation: 2, profile: { score: 0.9 } });
  });
});

describe('claims that their author did not sign', () => {
  it('change neither state, address nor incarnation, and are counted', () => {
    const rig = Rig.ready();
    rig.gossip('a', alive('a'), alive('b'));
    rig.take();
    const moved = { ...profileOf('b'), addresses: ['/ip4/10.6.6.6/tcp/1'] };
    const own = rig.core.self.incarnation;
    const forgeries: readonly MemberUpdate[] = [
      forged({ state: 'alive', id: 'b', incarnation: 9, profile: moved }),
      forged({ state: 'left', id: 'b', incarnation: 9 }),
      forged({ state: 'suspect', id: 'b', incarnation: 1, from: 'c' }),
      forged({ state: 'dead', id: 'b', incarnation: 1, from: 'c' }),
      forged({ state: 'alive', id: 'me', incarnation: own + 100, profile: moved }),
      forged({ state: 'suspect', id: 'me', incarnation: own + 100, from: 'c' }),
    ];
    // After the first forgery the rest of a message is not looked at.
    for (const forgery of forgeries) {
      rig.gossip('a', forgery, forgery);
      rig.gossip('a', alive('b', 2));
      expect(rig.core.member('b')?.incarnation).toBe(1);
      rig.run(1001, everybody);
    }
    const effects = rig.take();
    expect(effects.filter(({ type }) => type === 'member-changed')).toEqual([]);
    expect(effects.filter(({ type }) => type === 'misbehaviour')).toHaveLength(6);
    expect(rig.core.member('b')).toMatchObject({ state: 'alive', incarnation: 1, profile: profileOf('b') });
    expect(rig.core.self.incarnation).toBe(own);
    expect(rig.core.stats().forgedClaims).toBe(6);
  });

  it('do not bring a stranger in by way of an accusation', () => {
    const rig = Rig.ready();
    rig.gossip('a', alive('a'));
    const words = forged({ state: 'alive', id: 'x', incarnation: 1, profile: profileOf('x') } as const);
    rig.message('a', { type: 'push-pull-return', updates: [{ ...dead('x', 1, 'a'), alive: words } as MemberUpdate] });
    expect(rig.state('x')).toBeUndefined();
  });

  it('a leave counts whoever passes it on, once the member signed it', () => {
    const rig = Rig.ready();
    rig.gossip('a', alive('a'), alive('b'));
    rig.gossip('a', left('b', 1));
    expect(rig.state('b')).toBe('left');
  });

  it('an accusation beyond anything its subject could refute is ignored', () => {
    const rig = Rig.ready();
    rig.gossip('a', alive('a'), alive('b'));
    const own = rig.core.self.incarnation;
    rig.gossip('a', dead('b', 2 ** 47, 'a'), dead('me', 2 ** 48, 'a'));
    expect(rig.state('b')).toBe('alive');
    expect(rig.core.self.incarnation).toBe(own);
  });
});

describe('claims about others', () => {
  it('answers a stale alive with the accusation, to the member itself', () => {
    const rig = Rig.ready();
    rig.gossip('a', alive('x', 5));
    rig.bury('a', 'x', 5);
    rig.take();
    rig.gossip('x', alive('x', 5));
    expect(rig.takeSent('gossip').filter((m) => m.to === 'x')).toMatchObject([{ updates: [dead('x', 5, 'a')] }]);
    rig.gossip('b', alive('x', 5));
    expect(rig.takeSent('gossip').filter((m) => m.to === 'b')).toEqual([]);
    expect(rig.state('x')).toBe('dead');
  });

  it('tells a dead member that pings what is said of it', () => {
    const rig = Rig.ready();
    rig.gossip('a', alive('x', 5));
    rig.bury('a', 'x', 5);
    rig.take();
    rig.message('x', { type: 'ping', seq: 3, updates: [] });
    expect(rig.takeSent('ack')[0]?.updates[0]).toEqual(dead('x', 5, 'a'));
  });

  it('takes a death by push-pull as a reason to look for itself', () => {
    const rig = Rig.ready();
    rig.gossip('a', alive('a'), alive('y'));
    rig.take();
    rig.message('a', { type: 'push-pull-reply', buckets: [], updates: [dead('y', 1, 'b')] });
    const effects = rig.take();
    expect(rig.state('y')).toBe('suspect');
    expect(updatesAbout('y', effects)).toContainEqual(suspect('y', 1, 'me'));
    expect(effects).toContainEqual(
      expect.objectContaining({ type: 'send', to: 'y', message: expect.objectContaining({ type: 'ping' }) }),
    );
  });

  it('takes a death by gossip as one where it has suspected for long enough itself, else gives time to refute', () => {
    const rig = Rig.ready();
    rig.gossip('a', ...['a', 'b', 'x', 'y', 'z'].map((id) => alive(id)));
    rig.gossip('a', suspect('x', 1, 'a'));
    rig.run(1300, allBut('x'));
    rig.gossip('a', dead('x', 1, 'a'), dead('y', 1, 'a'), dead('z', 1, 'a'));
    expect(['x', 'y', 'z'].map((id) => rig.state(id))).toEqual(['dead', 'suspect', 'suspect']);
    rig.gossip('z', alive('z', 2));
    rig.run(6000, allBut('y'));
    expect(['x', 'y', 'z'].map((id) => rig.state(id))).toEqual(['dead', 'dead', 'alive']);
  });

  it('spreads no hearsay before it has looked for itself', () => {
    const rig = Rig.ready();
    rig.gossip('a', ...['a', 'b', 'y'].map((id) => alive(id)));
    rig.run(10_000, everybody);
    rig.take();
    rig.gossip('a', dead('y', 1, 'a'));
    const told = rig.take().filter((effect) => effect.type === 'send' && effect.to !== 'y');
    expect(updatesAbout('y', told)).toEqual([]);
    rig.run(2000, allBut('y'));
    expect(updatesAbout('y', rig.take())).toContainEqual(suspect('y', 1, 'me'));
  });

  it('tells whoever asks it to relay what is outdated about the target', () => {
    const rig = Rig.ready();
    rig.gossip('a', alive('a'), alive('x', 6));
    rig.take();
    rig.message('a', { type: 'ping-request', seq: 5, target: 'x', timeoutMs: 500, updates: [suspect('x', 5, 'c')] });
    expect(rig.takeSent('gossip')).toMatchObject([{ to: 'a', updates: [{ state: 'alive', id: 'x', incarnation: 6 }] }]);
  });

  it('declares nobody dead on the word of others alone', () => {
    const rig = Rig.ready();
    rig.gossip('a', ...['a', 'b', 'c', 'x'].map((id) => alive(id)));
    rig.gossip('a', suspect('x', 1, 'a'), suspect('x', 1, 'b'), suspect('x', 1, 'c'));
    for (const { to, seq } of rig.takeSent('ping'))
      rig.message(to, { type: 'ack', seq, coordinate: null, updates: [] });
    // Pings are answered, but the refutation never arrives.
    rig.run(60_000, everybody);
    expect(rig.state('x')).toBe('suspect');
    rig.run(12_000, allBut('x'));
    expect(rig.state('x')).toBe('dead');
  });

  it('does not count accusers that it suspects itself', () => {
    const rig = Rig.ready();
    rig.gossip('a', ...['a', 'b', 'c', 'd', 'e', 'x'].map((id) => alive(id)));
    rig.gossip('a', suspect('b', 1, 'a'), suspect('c', 1, 'a'), suspect('d', 1, 'a'), suspect('x', 1, 'a'));
    rig.gossip('e', suspect('x', 1, 'b'), suspect('x', 1, 'c'), suspect('x', 1, 'd'));
    rig.run(3000, everybody);
    expect(rig.state('x')).toBe('suspect');
  });

  it('tells a connected peer of the death that others declared, so that it can refute', () => {
    const rig = Rig.ready();
    rig.gossip('a', alive('a'), alive('x'));
    rig.handle({ type: 'connected', peer: 'x' });
    rig.run(5000, everybody);
    rig.take();
    rig.bury('b', 'x', 1);
    expect(rig.takeSent('gossip').filter((m) => m.to === 'x')).toMatchObject([{ updates: [dead('x', 1, 'b')] }]);
  });

  it('does not tell a whole cluster that it just joined about itself, but a few newcomers it does', () => {
    const strangers = Array.from({ length: 100 }, (_, i) => alive(`s${i}`));
    const joining = Rig.ready();
    joining.message('s0', { type: 'push-pull-reply', buckets: [], updates: strangers });
    joining.run(11_000, everybody);
    const told = new Set(joining.take().flatMap((e) => updatesAbout('s1', [e])));
    expect(told.size).toBe(0);
    joining.message('s1', { type: 'push-pull-reply', buckets: [], updates: [alive('late1'), alive('late2')] });
    joining.run(1000, everybody);
    expect(updatesAbout('late1', joining.take()).length).toBeGreaterThan(0);
  });

  it('judges a member that came back by what it does from then on', () => {
    const rig = Rig.ready();
    rig.gossip('a', alive('a'), alive('b'), alive('c'));
    for (const id of ['a', 'b', 'c']) rig.handle({ type: 'connected', peer: id });
    rig.run(15_000, allBut('c'), everybody);
    expect(rig.core.member('c')?.health).toBe('degraded');
    rig.bury('a', 'c', 1);
    rig.gossip('a', alive('c', 2));
    expect(rig.core.member('c')).toMatchObject({ state: 'alive', health: 'healthy', rttMs: null });
    rig.run(2000, everybody, everybody);
    expect(rig.core.member('c')?.health).toBe('healthy');
  });

  it('a member that left comes back only under a later incarnation', () => {
    const rig = Rig.ready();
    rig.gossip('a', alive('x', 4));
    rig.gossip('a', left('x', 5));
    expect(rig.state('x')).toBe('left');
    rig.gossip('a', alive('x', 5), suspect('x', 5, 'a'), dead('x', 5, 'a'), alive('x', 4));
    expect(rig.state('x')).toBe('left');
    rig.gossip('a', alive('x', 6));
    expect(rig.state('x')).toBe('alive');
  });

  it('drops claims outside the limits, keeps their neighbours, and reads no more than the limit', () => {
    const rig = Rig.ready();
    const tooMany = { ...profileOf('x'), addresses: Array.from({ length: 17 }, () => '/ip4/10.0.0.1/tcp/1') };
    rig.gossip(
      'a',
      signed({ state: 'alive', id: 'x', incarnation: 1, profile: tooMany }),
      alive('y', 0),
      alive('z', 2 ** 52),
      alive('good'),
    );
    expect(rig.core.members().map((member) => member.id)).toEqual(['me', 'good']);
    const flood = Array.from({ length: MEMBERSHIP_LIMITS.updatesPerMessageMax + 1 }, (_, i) => alive(`f${i}`));
    rig.gossip('a', ...flood);
    expect(rig.core.members()).toHaveLength(2 + MEMBERSHIP_LIMITS.updatesPerMessageMax);
  });

  it('keeps at most membersMax members: who left or died longest ago gives way, a living one never', () => {
    const rig = Rig.ready();
    rig.gossip('a', alive('gone'), left('gone', 2));
    for (let i = 0; i < MEMBERSHIP_LIMITS.membersMax; i += 1000) {
      rig.gossip('a', ...Array.from({ length: 1000 }, (_, k) => alive(`m${i + k}`)));
    }
    const effects = rig.take();
    expect(effects.filter((effect) => effect.type === 'forget')).toEqual([{ type: 'forget', peer: 'gone' }]);
    expect(rig.core.members()).toHaveLength(MEMBERSHIP_LIMITS.membersMax + 1);
    rig.gossip('a', alive('late'));
    expect(rig.state('late')).toBeUndefined();
  });
});

describe('probing', () => {
  function ready(...others: string[]): Rig {
    const rig = Rig.ready();
    rig.gossip(others[0] ?? '', ...others.map((id) => alive(id)));
    for (const id of others) rig.handle({ type: 'connected', peer: id });
    rig.take();
    return rig;
  }

  it('pings everyone in turn, with nothing but a number when there is no news', () => {
    const rig = ready('a', 'b', 'c');
    rig.run(10_000, everybody);
    rig.take();
    rig.run(2000, everybody);
    const pings = rig.takeSent('ping');
    expect(pings).toHaveLength(6);
    expect(new Set(pings.map((ping) => ping.to))).toEqual(new Set(['a', 'b', 'c']));
    expect(pings.every((ping) => ping.updates.length === 0)).toBe(true);
  });

  it('dials a member that is not connected before it pings it', () => {
    const rig = Rig.ready();
    rig.gossip('a', alive('a'));
    rig.take();
    rig.run(500);
    const effects = rig.take();
    const ping = effects.findIndex((effect) => effect.type === 'send' && effect.message.type === 'ping');
    expect(ping).toBeGreaterThan(0);
    expect(effects[ping - 1]).toEqual({ type: 'dial', peer: 'a', addresses: profileOf('a').addresses });
  });

  it('asks relays when a ping is late, and suspects when none of them gets an ack', () => {
    const rig = ready('a', 'b', 'c');
    rig.run(4000, allBut('c'));
    const changes = rig.take();
    const asked = changes.flatMap((e) =>
      e.type === 'send' && e.message.type === 'ping-request' ? [[e.to, e.message] as const] : [],
    );
    expect(new Set(asked.map(([to]) => to))).toEqual(new Set(['a', 'b']));
    expect(asked[0]?.[1]).toMatchObject({ target: 'c', timeoutMs: 500, updates: [] });
    // While it is suspect the relays hear the accusation, and pass it on to the accused.
    expect(asked.at(-1)?.[1].updates).toContainEqual(suspect('c', 1, 'me'));
    expect(rig.state('c')).toBe('suspect');
  });

  it('is content with an ack through one relay', () => {
    const rig = ready('a', 'b', 'c');
    rig.run(60_000, allBut('c'), allBut('b'));
    expect(rig.takeSent('ping-request').length).toBeGreaterThan(10);
    expect(rig.state('c')).toBe('alive');
  });

  it('does not take an ack from a member that it did not ask', () => {
    const rig = ready('a', 'b', 'c');
    for (let i = 0; i < 400; i++) {
      rig.run(10, allBut('c'));
      for (const ping of rig.takeSent('ping')) {
        if (ping.to === 'c') rig.message('stranger', { type: 'ack', seq: ping.seq, coordinate: null, updates: [] });
      }
    }
    expect(rig.state('c')).toBe('suspect');
  });

  it('relays: passes the ack on, or says nack at 80 % of the time', () => {
    const rig = ready('a', 'b');
    rig.message('a', { type: 'ping-request', seq: 77, target: 'b', timeoutMs: 500, updates: [] });
    const [ping] = rig.takeSent('ping');
    expect(ping?.to).toBe('b');
    rig.message('b', { type: 'ack', seq: ping?.seq ?? 0, coordinate: null, updates: [] });
    expect(rig.takeSent('ack')).toMatchObject([{ to: 'a', seq: 77, coordinate: null }]);

    rig.message('a', { type: 'ping-request', seq: 78, target: 'b', timeoutMs: 500, updates: [] });
    rig.take();
    rig.run(399, everybody);
    expect(rig.takeSent('nack')).toEqual([]);
    rig.run(1, everybody);
    expect(rig.takeSent('nack')).toEqual([{ to: 'a', type: 'nack', seq: 78 }]);
  });

  it('says nack at once for a target that it does not know', () => {
    const rig = ready('a');
    rig.message('a', { type: 'ping-request', seq: 5, target: 'nobody', timeoutMs: 500, updates: [] });
    expect(rig.takeSent('nack')).toEqual([{ to: 'a', type: 'nack', seq: 5 }]);
  });

  it('probes a suspect again at once when a probe of it fails, with the accusation, however large the cluster', () => {
    const rig = ready(...Array.from({ length: 300 }, (_, i) => `m${i}`));
    rig.run(1000, everybody);
    const silent = rig.takeSent('ping')[0]?.to as string;
    for (let i = 0; i < 10_000 && rig.state(silent) === 'alive'; i++) rig.run(1, allBut(silent));
    const [first, second] = rig.takeSent('ping').filter((ping) => ping.to === silent);
    expect(first?.updates).not.toContainEqual(suspect(silent, 1, 'me'));
    expect(second?.updates).toContainEqual(suspect(silent, 1, 'me'));
  });

  it('in a large cluster probes its neighbours only, and leaves suspects to theirs', () => {
    const rig = ready(...Array.from({ length: 300 }, (_, i) => `m${i}`));
    rig.run(30_000, everybody);
    expect(new Set(rig.takeSent('ping').map((ping) => ping.to)).size).toBeLessThanOrEqual(8);
    const far = strangerOf(rig.core.members().map(({ id }) => id));
    rig.gossip('m0', suspect(far, 1, 'm0'));
    rig.handle({ type: 'disconnected', peer: far });
    expect(rig.takeSent('ping').filter((ping) => ping.to === far)).toEqual([]);
  });

  it('checks a suspicion that it hears of with a probe of its own, and stops when it is refuted', () => {
    const rig = ready('a', 'b', 'c');
    rig.gossip('a', suspect('c', 1, 'a'));
    expect(rig.takeSent('ping').map((ping) => ping.to)).toEqual(['c']);
    rig.gossip('a', alive('c', 2));
    rig.run(5000, everybody);
    expect(rig.state('c')).toBe('alive');
    expect(rig.core.stats().localHealth).toBe(0);
  });

  it('accuses independently when its own check fails, and passes on each accuser that counts', () => {
    const rig = ready('a', 'b', 'c', 'd');
    rig.gossip('a', suspect('d', 1, 'a'));
    rig.gossip('b', suspect('d', 1, 'b'));
    rig.run(1000, allBut('d'));
    const accusers = new Set(updatesAbout('d', rig.take()).map((update) => ('from' in update ? update.from : '')));
    expect(accusers).toEqual(new Set(['a', 'b', 'me']));
  });

  it('does not mistake a suspicion cut short by late confirmations for a pause of its own', () => {
    const rig = ready('a', 'b', 'c', 'd', 'e');
    rig.gossip('a', suspect('e', 1, 'a'));
    rig.run(4000, allBut('e'));
    expect(rig.state('e')).toBe('suspect');
    const { localHealth } = rig.core.stats();
    rig.gossip('a', suspect('e', 1, 'b'), suspect('e', 1, 'c'), suspect('e', 1, 'd'));
    rig.run(0, everybody);
    expect(rig.state('e')).toBe('dead');
    expect(rig.core.stats().localHealth).toBe(localHealth);
  });

  it('pings anew over a new connection, because the first ping may be lost with the old one', () => {
    const rig = Rig.ready();
    rig.gossip('a', alive('a'));
    rig.take();
    while (rig.core.nextDeadline() !== undefined && rig.nowMs < 400) rig.run(10);
    const [lost] = rig.takeSent('ping');
    rig.handle({ type: 'connected', peer: 'a' });
    const [again] = rig.takeSent('ping');
    expect(again).toMatchObject({ to: 'a', seq: lost?.seq });
  });

  it('trusts itself less when relays stay silent too, and not when they answer that the target does', () => {
    const alone = ready('a', 'b', 'c');
    alone.run(1300);
    expect(alone.core.stats().localHealth).toBeGreaterThan(0);
    const helped = ready('a', 'b', 'c');
    for (let i = 0; i < 400; i++) {
      helped.run(10, allBut('c'));
      for (const request of helped.takeSent('ping-request'))
        helped.message(request.to, { type: 'nack', seq: request.seq });
    }
    expect(helped.state('c')).toBe('suspect');
    expect(helped.core.stats().localHealth).toBe(0);
  });

  it('does not let suspicions run while its own process stands still', () => {
    const rig = ready('a', 'b', 'c');
    rig.gossip('a', suspect('c', 1, 'a'));
    rig.run(1000, everybody);
    rig.nowMs += 60_000;
    rig.timeout();
    rig.run(1000, everybody);
    expect(rig.state('c')).toBe('suspect');
    rig.gossip('c', alive('c', 2));
    expect(rig.state('c')).toBe('alive');
  });

  it('voids the probe windows that span a pause of its own process, and trusts itself less', () => {
    const rig = ready('a', 'b', 'c');
    while (rig.takeSent('ping').length === 0) rig.run(10);
    rig.nowMs += 5000;
    rig.timeout();
    expect(rig.takeChanges()).toEqual([]);
    expect(rig.core.stats().localHealth).toBeGreaterThanOrEqual(5);
    rig.run(300, everybody);
    expect(['a', 'b', 'c'].map((id) => rig.state(id))).toEqual(['alive', 'alive', 'alive']);
  });

  it('voids them too when the driver reports lag, but counts one pause once', () => {
    const rig = ready('a', 'b');
    while (rig.takeSent('ping').length === 0) rig.run(10);
    rig.handle({ type: 'lag', lagMs: 100 });
    expect(rig.core.stats().localHealth).toBe(0);
    rig.handle({ type: 'lag', lagMs: 300 });
    expect(rig.core.stats().localHealth).toBe(1);
    expect(rig.takeSent('ping').length).toBeGreaterThan(0);
    rig.handle({ type: 'lag', lagMs: 300 });
    expect(rig.core.stats().localHealth).toBe(1);
  });

  it('calls a member that fails requests degraded although it answers pings, and healthy again later', () => {
    const rig = ready('a', 'b');
    const report = (failed: number): void =>
      rig.handle({ type: 'requests', outcomes: [{ peer: 'a', answered: 20 - failed, failed }] });
    rig.handle({ type: 'requests', outcomes: [{ peer: 'a', answered: 0, failed: 2 }] });
    expect(rig.core.member('a')).toMatchObject({ health: 'healthy', errorRate: 0.1 });
    report(10);
    expect(rig.core.member('a')).toMatchObject({ health: 'degraded', errorRate: 0.5 });
    report(3);
    expect(rig.core.member('a')?.health).toBe('degraded');
    report(1);
    expect(rig.core.member('a')).toMatchObject({ health: 'healthy', errorRate: 0.05 });
    expect(rig.core.member('b')).toMatchObject({ health: 'healthy', errorRate: 0 });
  });

  it('tells where it is in the space of round trips once that is far from where it was told, and predicts from it', () => {
    const rig = ready('a', 'b');
    const far = { x: 300, y: 0, z: 0, height: 1, error: 0.1 };
    rig.gossip(
      'a',
      signed({ state: 'alive', id: 'b', incarnation: 2, profile: { ...profileOf('b'), coordinate: far } }),
    );
    expect(rig.core.estimatedRttMs('b')).toBeNull();
    for (const peer of ['a', 'b']) rig.handle({ type: 'connected', peer });
    const own = rig.core.self.incarnation;
    for (let i = 0; i < 60; i++) {
      rig.run(400);
      const ping = rig.takeSent('ping').find((sent) => sent.to === 'a');
      if (ping === undefined) continue;
      rig.nowMs += 40;
      rig.message('a', {
        type: 'ack',
        seq: ping.seq,
        coordinate: { x: 0, y: 0, z: 0, height: 1, error: 0.1 },
        updates: [],
      });
    }
    expect(rig.core.estimatedRttMs('b')).toBeGreaterThan(200);
    expect(rig.core.self.profile.coordinate).not.toBeNull();
    // Once a minute at most.
    expect(rig.core.self.incarnation).toBe(own + 1);
  });

  it('calls a member that keeps missing pings degraded, and healthy again later', () => {
    const rig = ready('a', 'b', 'c');
    rig.run(15_000, allBut('c'), everybody);
    expect(rig.core.member('c')).toMatchObject({ state: 'alive', health: 'degraded' });
    expect(rig.core.member('a')).toMatchObject({ health: 'healthy' });
    rig.run(60_000, everybody, everybody);
    expect(rig.core.member('c')).toMatchObject({ state: 'alive', health: 'healthy', rttMs: 0 });
    expect(rig.takeChanges()).toContain('c alive alive');
  });
});

describe('connections', () => {
  it('redials at once when one closes, and takes a refusal as all but proof', () => {
    const rig = Rig.ready();
    rig.gossip('a', alive('a'), alive('b'), alive('c'));
    rig.handle({ type: 'connected', peer: 'b' });
    rig.take();
    rig.handle({ type: 'disconnected', peer: 'b' });
    expect(rig.take()).toContainEqual({ type: 'dial', peer: 'b', addresses: profileOf('b').addresses });
    rig.handle({ type: 'dial-failed', peer: 'b', reason: 'refused' });
    expect(rig.state('b')).toBe('suspect');
    rig.run(399, allBut('b'));
    expect(rig.state('b')).toBe('suspect');
    rig.run(1, allBut('b'));
    expect(rig.state('b')).toBe('dead');
  });

  it('does not hurry when the refused address never worked for it', () => {
    const rig = Rig.ready();
    rig.gossip('a', alive('b'));
    for (let i = 0; i < 100; i++) {
      rig.run(20);
      if (rig.take().some((effect) => effect.type === 'dial'))
        rig.handle({ type: 'dial-failed', peer: 'b', reason: 'refused' });
    }
    expect(rig.state('b')).toBe('suspect');
  });

  it('gives a suspect that connects its full time to refute', () => {
    const rig = Rig.ready();
    rig.gossip('a', alive('a'), alive('b'), alive('c'));
    rig.handle({ type: 'connected', peer: 'b' });
    rig.handle({ type: 'disconnected', peer: 'b' });
    rig.handle({ type: 'dial-failed', peer: 'b', reason: 'refused' });
    rig.handle({ type: 'connected', peer: 'b' });
    rig.run(1000, everybody);
    expect(rig.state('b')).toBe('suspect');
  });

  it('does not look for a member that left, and closes what is left of a dead one', () => {
    const rig = Rig.ready();
    rig.gossip('a', alive('b'), alive('c'));
    rig.handle({ type: 'connected', peer: 'b' });
    rig.handle({ type: 'connected', peer: 'c' });
    rig.gossip('b', left('b', 2));
    rig.take();
    rig.handle({ type: 'disconnected', peer: 'b' });
    expect(rig.take().filter((effect) => effect.type === 'dial')).toEqual([]);
    while (rig.state('c') !== 'dead') rig.run(10);
    const effects = rig.take();
    const death = effects.findIndex((effect) => effect.type === 'member-changed' && effect.member.state === 'dead');
    expect(effects[death + 1]).toEqual({ type: 'disconnect', peer: 'c' });
  });

  it('exchanges views with a peer that it does not hold alive', () => {
    const rig = Rig.ready();
    rig.handle({ type: 'connected', peer: 'b' });
    expect(rig.takeSent('push-pull')).toMatchObject([{ to: 'b', digests: [{}] }]);
    rig.gossip('b', alive('b'));
    rig.take();
    rig.handle({ type: 'connected', peer: 'b' });
    expect(rig.takeSent('push-pull')).toEqual([]);
  });
});

describe('address book', () => {
  const known = ['x', 'y'].map((id) => ({ id, profile: profileOf(id) }));

  it('is dialled at start and listed as dead, but neither reported alive nor told to others', () => {
    const rig = new Rig({ known });
    rig.timeout();
    rig.persistAll();
    const dials = rig.take().filter((effect) => effect.type === 'dial');
    expect(dials.map((effect) => effect.peer).sort()).toEqual(['x', 'y']);
    expect(rig.core.alive()).toEqual(['me']);
    expect(rig.state('x')).toBe('dead');
    rig.message('z', { type: 'push-pull', digests: [] });
    expect(rig.takeSent('push-pull-reply').flatMap((reply) => reply.updates.map((u) => u.id))).toEqual(['me']);
  });

  it('comes to life with the first claim, and stays dead when others know it dead', () => {
    const rig = Rig.ready({ known });
    rig.gossip('x', alive('x', 3));
    rig.message('x', {
      type: 'push-pull-reply',
      buckets: [],
      updates: [{ ...dead('y', 2, 'x'), alive: alive('y') } as MemberUpdate],
    });
    expect([rig.state('x'), rig.state('y')]).toEqual(['alive', 'dead']);
    expect(rig.takeChanges()).toEqual(['x dead alive']);
    expect(rig.core.member('y')?.incarnation).toBe(2);
  });

  it('is retried as long as it stays silent', () => {
    const rig = Rig.ready({ known });
    rig.run(60_000);
    const dials = rig.take().filter((effect) => effect.type === 'dial');
    expect(dials.length).toBeGreaterThan(40);
    expect(dials.length).toBeLessThan(80);
    expect(new Set(dials.map((effect) => effect.peer))).toEqual(new Set(['x', 'y']));
  });
});

describe('leaving', () => {
  it('tells connected peers under an incarnation of its own, and goes quiet', () => {
    const rig = Rig.ready();
    rig.gossip('a', alive('a'), alive('b'));
    rig.handle({ type: 'connected', peer: 'a' });
    rig.handle({ type: 'connected', peer: 'b' });
    rig.gossip('a', suspect('b', 1, 'a'));
    rig.take();
    const before = rig.core.self.incarnation;
    rig.handle({ type: 'leave' });
    const goodbye = left('me', before + 1);
    const effects = rig.take();
    const told = effects.filter((effect) => effect.type === 'send' && effect.message.type === 'gossip');
    expect(new Set(told.map((effect) => (effect.type === 'send' ? effect.to : '')))).toEqual(new Set(['a', 'b']));
    expect(updatesAbout('me', effects)).toContainEqual(goodbye);
    expect(effects).toContainEqual(expect.objectContaining({ type: 'member-changed', previous: 'alive' }));
    expect([rig.core.self.state, rig.core.alive().includes('me')]).toEqual(['left', false]);
    rig.run(60_000);
    expect(rig.core.nextDeadline()).toBeUndefined();
    rig.take();
    rig.gossip('a', suspect('me', before, 'a'));
    expect(updatesAbout('me', rig.take())).toEqual([goodbye]);
  });

  it('forgets a member that left after the retention time', () => {
    const rig = Rig.ready({ timing: { leftRetentionMs: 3_600_000 } });
    rig.gossip('a', alive('a'), alive('b'), left('b', 2));
    rig.run(3_500_000, everybody);
    expect(rig.state('b')).toBe('left');
    rig.take();
    rig.run(200_000, everybody);
    expect(rig.state('b')).toBeUndefined();
    expect(rig.take()).toContainEqual({ type: 'forget', peer: 'b' });
    // Whoever was away for longer still tells of it as it was.
    rig.gossip('a', alive('b', 1));
    expect(rig.state('b')).toBeUndefined();
    rig.gossip('a', alive('b', 3));
    expect(rig.state('b')).toBe('alive');
  });
});
