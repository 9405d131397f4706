import { describe, expect, test } from 'vitest';
import { HUB_FRAME_BYTES_MAX } from '../../../../src/ports/hub-link.ts';
import type { HubRequest } from '../../../../src/protocol/uplink/message.ts';
import { encodeHubRequest } from '../../../../src/wire/hub-message.ts';
import type { VirtualHub } from '../../../simulation/virtual-hub.ts';
import { atHub, CHECKED_MS, FakeSource, newHub, SHARD, UplinkEnd } from '../../../support/uplink-pair.ts';

const A = 'aaaaaaaaaaaaaaaa';
const B = 'bbbbbbbbbbbbbbbb';
const C = 'cccccccccccccccc';

/** Somebody has put a key; somebody else has deleted it. */
function removal(): { hub: VirtualHub; writer: FakeSource; remover: FakeSource } {
  const hub = newHub();
  const writer = new FakeSource(B);
  writer.write('k', 'old');
  const remover = new FakeSource(A);
  remover.write('first', 'event');
  remover.takeFrom(writer, ['k']);
  remover.write('k', null);
  return { hub, writer, remover };
}

describe('what was replaced stays so at the hub', () => {
  test('where its event comes while a later one of the key is on its way', () => {
    const { hub, writer, remover } = removal();
    const own = new FakeSource(C);
    own.takeLast(remover, 'k');
    const end = new UplinkEnd(hub, own);
    expect(end.step()?.type).toBe('hub-ask');
    end.reconciler.advance(250);
    // The index has been read, the key not yet.
    own.run();
    own.takeFrom(writer, ['k']);
    expect(end.step()?.type).toBe('hub-push');
    // The other island has not heard of the delete.
    new UplinkEnd(hub, writer).settle();
    end.reconciler.handleSession(true, end.nowMs);
    end.settle(CHECKED_MS);
    expect(atHub(hub, 'k')).toBeUndefined();
  });

  test('where the hub lacks more events than are looked for at once', () => {
    const { hub, writer, remover } = removal();
    for (let i = 0; i < 20_000; i++) remover.write(`k${i % 1000}`, `${i}`);
    const end = new UplinkEnd(hub, remover);
    end.step();
    end.reconciler.advance(250);
    end.step();
    new UplinkEnd(hub, writer).settle();
    end.reconciler.handleSession(true, end.nowMs);
    end.settle(CHECKED_MS);
    expect(atHub(hub, 'k')).toBeUndefined();
    expect(atHub(hub, 'k0')).toBe('19000');
  });

  test('where the hub forgets an event, and is then told once more of it alone', () => {
    const hub = newHub();
    const own = new FakeSource(A);
    const end = new UplinkEnd(hub, own);
    end.settle(1000);
    hub.save();
    own.write('k', 'old');
    const seen: HubRequest[] = [];
    hub.interfere = (request) => void seen.push(request);
    end.settle(1000);
    const late = seen.find(({ type }) => type === 'hub-push');
    expect(atHub(hub, 'k')).toBe('old');
    hub.restore();
    own.write('k', null);
    end.reconciler.advance(end.nowMs);
    expect(end.step()?.type).toBe('hub-push');
    if (late !== undefined) hub.answer(late);
    end.settle(CHECKED_MS);
    expect(late).toBeDefined();
    expect(atHub(hub, 'k')).toBeUndefined();
  });
});

describe('what is to be sent is sent', () => {
  test('where the shard could not be read for a moment', () => {
    const hub = newHub();
    const own = new FakeSource(A);
    const end = new UplinkEnd(hub, own);
    end.settle(1000);
    own.write('k', 'value');
    end.reconciler.advance(end.nowMs);
    own.run();
    own.isGone = true;
    own.run();
    own.isGone = false;
    end.settle();
    expect(atHub(hub, 'k')).toBe('value');
  });

  test('where large values of many shards would not fit one frame', () => {
    const hub = newHub();
    const sources = Array.from({ length: 10 }, (_, shard) => {
      const source = new FakeSource(A);
      source.write(`k${shard}`, 'x'.repeat(900_000));
      return source;
    });
    const sizes: number[] = [];
    hub.interfere = (request) => void sizes.push(encodeHubRequest(1, request).length);
    new UplinkEnd(hub, ...sources).settle();
    expect(Math.max(...sizes)).toBeLessThan(HUB_FRAME_BYTES_MAX);
    for (const shard of sources.keys()) expect(atHub(hub, `k${shard}`, shard)).toHaveLength(900_000);
  });

  test('where the hub forgets the first part of a key between two', () => {
    const hub = newHub();
    const own = new FakeSource(A);
    for (const actor of [A, B, C]) {
      const writer = new FakeSource(actor);
      writer.write('k', actor.slice(0, 1).repeat(700_000));
      own.takeFrom(writer, ['k']);
    }
    hub.save();
    let parts = 0;
    hub.interfere = ({ type }) => {
      if (type === 'hub-push' && ++parts === 2) hub.restore();
    };
    new UplinkEnd(hub, own).settle(CHECKED_MS);
    expect(hub.read({ shard: SHARD, bucket: 'up', key: 'k' }).object.entries).toHaveLength(3);
  });
});

describe('while a backlog goes up', () => {
  /** Holds several shards, each of which the hub lacks more of than fits into some pushes. */
  function behind(shards: number): UplinkEnd {
    const sources = Array.from({ length: shards }, () => {
      const source = new FakeSource(A);
      for (let i = 0; i < 6000; i++) source.write(`k${i}`, 'value');
      return source;
    });
    return new UplinkEnd(newHub(), ...sources);
  }

  /** What is asked of the hub until it is asked for this, with time going by slowly meanwhile. */
  function until(end: UplinkEnd, type: HubRequest['type']): readonly string[] {
    const asked: string[] = [];
    for (; asked.length < 100 && asked.at(-1) !== type; end.nowMs += 10) {
      end.reconciler.advance(end.nowMs);
      for (let i = 0; i < 3 && asked.at(-1) !== type; i++) asked.push(end.step()?.type ?? 'nothing');
    }
    return asked;
  }

  test.each([1, 8])('what the hub has written comes down between two pushes (shards: %i)', (shards) => {
    const end = behind(shards);
    until(end, 'hub-push');
    end.reconciler.handleNews([shards - 1], end.nowMs);
    expect(until(end, 'hub-pull').length).toBeLessThan(8);
  });

  test('what the hub goes on to write keeps back nothing', () => {
    const end = behind(1);
    until(end, 'hub-push');
    const asked: (string | undefined)[] = [];
    for (let i = 0; i < 20; i++) {
      end.reconciler.handleNews([SHARD], end.nowMs);
      asked.push(end.step()?.type);
    }
    expect(asked.filter((type) => type === 'hub-push').length).toBeGreaterThan(5);
    expect(asked.filter((type) => type === 'hub-pull').length).toBeGreaterThan(5);
  });
});
