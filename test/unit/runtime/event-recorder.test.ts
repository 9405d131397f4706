import { describe, expect, it } from 'vitest';
import type { Member, MemberState } from '../../../src/protocol/membership/member.ts';
import { EventRecorder } from '../../../src/runtime/event-recorder.ts';
import { replicasCapability } from '../../../src/runtime/replica-counts.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { profileOf } from '../../support/membership-network.ts';
import { RecordingLog } from '../../support/recording-log.ts';

function setup() {
  const log = new RecordingLog();
  const recorder = new EventRecorder({
    run: 'run',
    clock: new ManualClock(),
    log,
    self: 'self',
    replicas: 3,
    nameOf: (id) => id,
    onPlace: () => undefined,
  });
  const levels = () => log.lines.map(({ level, message }) => `${level} ${message}`);
  const types = () => recorder.feed.after(0)?.map(({ type }) => type);
  const tell = (state: MemberState, previous: MemberState | null, more: Partial<Member> = {}): void =>
    recorder.handle({ type: 'member-changed', member: { ...MEMBER, state, ...more }, previous });
  return { recorder, log, levels, types, tell };
}

const MEMBER: Member = {
  id: 'a',
  state: 'alive',
  incarnation: 1,
  profile: profileOf('a'),
  sinceMs: 0,
  rttMs: null,
  missedProbes: 0,
  errorRate: 0,
  health: 'healthy',
};

describe('events in the log', () => {
  it('are warnings where an operator has to know, and errors where data is in danger', () => {
    const { recorder, levels, types, tell } = setup();
    tell('alive', null);
    tell('alive', 'alive', { health: 'degraded' });
    tell('suspect', 'alive', { health: 'degraded' });
    tell('dead', 'suspect');
    recorder.handle({ type: 'hint-dropped', bucket: 'default' });
    recorder.handle({ type: 'object-lost', bucket: 'default', shard: 1 });
    recorder.handle({ type: 'disk-rolled-back' });
    recorder.handle({ type: 'clock-right' });
    expect(levels()).toEqual([
      'info member-alive',
      'warn member-degraded',
      'info member-suspect',
      'warn member-dead',
      'warn hint-dropped',
      'error object-lost',
      'error disk-rolled-back',
      'info clock-right',
    ]);
    expect(types()).toEqual(levels().map((line) => line.split(' ')[1]));
  });

  it('are one line, with the advice where there is some', () => {
    const { recorder, log, tell } = setup();
    recorder.append('disk-full', { freeBytes: 1 }, 'free space');
    recorder.handle({ type: 'clock-wrong', offsetMs: 60_000 });
    tell('alive', 'alive', { profile: { ...profileOf('a'), capabilities: [replicasCapability(1)] } });
    const level = { level: 'degraded', previous: 'connected', members: 3, reachable: 3, uplink: 'down' } as const;
    recorder.handle({ type: 'level-changed', ...level });
    expect(log.lines.map(({ level, message, fields }) => [level, message.slice(0, 34), fields])).toEqual([
      ['error', 'disk-full: free space', { freeBytes: 1 }],
      ['warn', 'clock-wrong: the clock of this mac', { offsetMs: 60_000 }],
      ['warn', 'replicas-differ: tuning.replicas i', { member: 'a', peerId: 'a', own: 3, other: 1 }],
      [
        'warn',
        'level-changed',
        { serviceLevel: 'degraded', previous: 'connected', members: 3, reachable: 3, uplink: 'down' },
      ],
    ]);
    expect(recorder.feed.after(0)?.at(-1)).toMatchObject({ type: 'level-changed', data: level });
  });

  it('name the members that were given up, and those that are left', () => {
    const { recorder, log, levels } = setup();
    const event = { epoch: 7, electors: ['a', 'b'], lost: ['c', 'd', 'e'], by: '10.0.0.1 at a' };
    recorder.handle({ type: 'electorate-refounded', ...event });
    const data = { epoch: 7, electors: 'a, b', lost: 'c, d, e', by: '10.0.0.1 at a' };
    expect(recorder.feed.after(0)).toMatchObject([{ type: 'electorate-refounded', data }]);
    expect(levels()).toEqual(['warn electorate-refounded: strong values that only the lost members had are gone']);
    expect(log.lines[0]).toMatchObject({ fields: data });
  });

  it('leaves single shards to those who look closely', () => {
    const { recorder, log, types } = setup();
    recorder.handle({ type: 'shard-complete', shard: 1 });
    expect([log.lines.map(({ level }) => level), types()]).toEqual([['debug'], []]);
  });
});
