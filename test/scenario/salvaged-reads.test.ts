import { describe, expect, test } from 'vitest';
import { CausalContext, NOTHING } from '../../src/protocol/causal/context.ts';
import { dotText } from '../../src/protocol/causal/dot.ts';
import type { Mutation } from '../../src/protocol/causal/mutation.ts';
import { ownersDigest } from '../../src/protocol/replication/placement.ts';
import type { ClientReply, GetRequest, Level } from '../../src/protocol/replication/request.ts';
import type { SimCluster, SimNode } from '../simulation/cluster.ts';
import { COVERED, EVENT, LoneReplica, NAME, OBJECT } from '../support/lone-replica.ts';
import { ask, BUCKET, DISCONNECT_MS, dotOf, formed, mutate, put, settle } from '../support/sim-story.ts';

/** What clients read of a node whose disk was damaged, while those who know more of what it has are away. */

const KEY = 'k';
const NEW_ACTOR = '00000000000000bb';
const REFUSED = { type: 'failed', failure: { code: 'session-unavailable' } };

type Token = GetRequest['session'];

interface Story {
  readonly cluster: SimCluster;
  /** Has all that was written, and is down. */
  readonly whole: SimNode;
  /** Was down when the key was overwritten. */
  readonly behind: SimNode;
  readonly salvaged: SimNode;
  readonly replaced: string;
  readonly written: string;
  /** Of a client that was shown what was written, and not what that had replaced. */
  readonly seen: Token;
}

/** All nodes are down. `also`: further writes that the one that is behind has missed. */
function story(also: (cluster: SimCluster, writer: SimNode) => void = () => undefined): Story {
  const cluster = formed(3);
  const [whole, behind, salvaged] = cluster.nodes as [SimNode, SimNode, SimNode];
  const replaced = dotText(dotOf(mutate(cluster, whole, KEY, put('old'), 'all')()));
  cluster.run(5000);
  cluster.crash(behind);
  const written = dotText(dotOf(mutate(cluster, whole, KEY, put('new'), 'quorum')()));
  const seen = tokenOf(get(cluster, whole, 'quorum', null));
  also(cluster, whole);
  cluster.run(5000);
  cluster.crash(salvaged);
  cluster.replaceDisk(salvaged, salvaged.disk.salvaged(NEW_ACTOR));
  cluster.crash(whole);
  return { cluster, whole, behind, salvaged, replaced, written, seen };
}

function get(cluster: SimCluster, node: SimNode, level: Level, session: Token, key = KEY): ClientReply {
  return ask(cluster, node, { type: 'get', bucket: BUCKET, key, level, session })();
}

function write(cluster: SimCluster, node: SimNode, mutation: Mutation, context: Token): ClientReply {
  return ask(cluster, node, { type: 'mutate', bucket: BUCKET, key: KEY, mutation, level: 'one', context })();
}

function tokenOf(reply: ClientReply): Token {
  if (reply.type !== 'mutate' && reply.type !== 'get') throw new Error(`no token: ${JSON.stringify(reply)}`);
  return { context: reply.context, bare: reply.bare };
}

function dotsOf(reply: ClientReply): string[] {
  if (reply.type !== 'get') throw new Error(JSON.stringify(reply));
  return reply.entries.map(({ dot }) => dotText(dot)).sort();
}

/** A client that passes its token on is shown the same again. */
function expectShownAgain(cluster: SimCluster, node: SimNode, shown: readonly string[]): Token {
  let token: Token = null;
  for (const level of ['quorum', 'one', 'quorum', 'one'] as const) {
    const reply = get(cluster, node, level, token);
    expect(dotsOf(reply)).toEqual([...shown].sort());
    token = tokenOf(reply);
  }
  return token;
}

describe('a node with a salvaged disk', () => {
  test('shows a client again what it has shown, alone', () => {
    const { cluster, salvaged, written } = story();
    cluster.start(salvaged);
    cluster.run(DISCONNECT_MS);
    expectShownAgain(cluster, salvaged, [written]);
  });

  test('and beside one that has only what was replaced, before and after they have compared', () => {
    const { cluster, whole, behind, salvaged, replaced, written } = story();
    for (const node of [behind, salvaged]) cluster.start(node);
    expect(cluster.runUntil(() => behind.running?.peers.has(salvaged.id) === true, DISCONNECT_MS, 1)).toBe(true);
    const early = get(cluster, behind, 'quorum', null);
    expect(dotsOf(early)).toEqual([replaced, written].sort());
    expect(dotsOf(get(cluster, behind, 'quorum', tokenOf(early)))).toEqual(dotsOf(early));
    cluster.run(30_000);
    for (const node of [behind, salvaged]) {
      const token = expectShownAgain(cluster, node, [replaced, written]);
      for (const other of [behind, salvaged])
        expect(dotsOf(get(cluster, other, 'one', token))).toEqual([replaced, written].sort());
    }
    const token = tokenOf(get(cluster, salvaged, 'one', null));
    cluster.start(whole);
    settle(cluster);
    for (const node of cluster.nodes) expect(dotsOf(get(cluster, node, 'one', token))).toEqual([written]);
  });

  test('does not show again what a client has seen replaced', () => {
    const { cluster, whole, behind, salvaged, written, seen } = story();
    cluster.start(behind);
    cluster.start(salvaged);
    for (const ms of [500, 30_000]) {
      cluster.run(ms);
      for (const node of [behind, salvaged])
        for (const level of ['one', 'quorum'] as const) expect(get(cluster, node, level, seen)).toMatchObject(REFUSED);
    }
    cluster.start(whole);
    settle(cluster);
    expect(dotsOf(get(cluster, salvaged, 'one', seen))).toEqual([written]);
  });

  test('does not leave out what a client has seen there, asked at another node', () => {
    const { cluster, behind, salvaged } = story();
    cluster.start(salvaged);
    cluster.run(DISCONNECT_MS);
    const token = tokenOf(get(cluster, salvaged, 'one', null));
    cluster.crash(salvaged);
    cluster.start(behind);
    cluster.run(DISCONNECT_MS);
    expect(get(cluster, behind, 'one', token)).toMatchObject(REFUSED);
  });

  test.each([true, false])(
    'shows a client its own write, and what it has deleted no more (with a token: %s)',
    (passes) => {
      const { cluster, salvaged } = story();
      cluster.start(salvaged);
      cluster.run(DISCONNECT_MS);
      const before = passes ? tokenOf(get(cluster, salvaged, 'one', null)) : null;
      const reply = write(cluster, salvaged, put('newer'), before);
      const read = get(cluster, salvaged, 'one', tokenOf(reply));
      expect(dotsOf(read)).toEqual([dotText(dotOf(reply))]);
      const deleted = write(cluster, salvaged, { type: 'delete' }, passes ? tokenOf(read) : null);
      const absent = get(cluster, salvaged, 'one', tokenOf(deleted));
      expect(dotsOf(absent)).toEqual([]);
      expect(dotsOf(get(cluster, salvaged, 'quorum', tokenOf(absent)))).toEqual([]);
    },
  );

  test('does not show a client again what it has replaced there, although another still has it', () => {
    const { cluster, whole, behind, salvaged, written } = story();
    cluster.start(salvaged);
    cluster.run(DISCONNECT_MS);
    const reply = write(cluster, salvaged, put('newer'), tokenOf(get(cluster, salvaged, 'one', null)));
    for (const node of [whole, behind]) cluster.start(node);
    expect(cluster.runUntil(() => salvaged.running?.peers.has(whole.id) === true, DISCONNECT_MS, 1)).toBe(true);
    const read = get(cluster, salvaged, 'quorum', tokenOf(reply));
    expect(dotsOf(read)).not.toContain(written);
    expect(dotsOf(read)).toContain(dotText(dotOf(reply)));
    settle(cluster);
    expectShownAgain(cluster, behind, [dotText(dotOf(reply))]);
  });

  test('shows a set to which something is added', () => {
    const encoder = new TextEncoder();
    const key = 'set';
    const add = (cluster: SimCluster, node: SimNode, members: string[], level: Level): void => {
      const mutation: Mutation = { type: 'add', members: members.map((member) => encoder.encode(member)) };
      expect(mutate(cluster, node, key, mutation, level)()).toMatchObject({ applied: true });
    };
    const { cluster, salvaged } = story((all, writer) => add(all, writer, ['a', 'b', 'c'], 'quorum'));
    cluster.start(salvaged);
    cluster.run(DISCONNECT_MS);
    add(cluster, salvaged, ['d'], 'one');
    const first = get(cluster, salvaged, 'one', null, key);
    const shown = dotsOf(first);
    expect(dotsOf(get(cluster, salvaged, 'one', tokenOf(first), key))).toEqual(shown);
  });
});

describe('the session of a client of a salvaged node', () => {
  /** Only the salvaged node is up; it has a number that nobody has replaced. */
  function numberStory(): { cluster: SimCluster; salvaged: SimNode } {
    const cluster = formed(3);
    const [whole, behind, salvaged] = cluster.nodes as [SimNode, SimNode, SimNode];
    mutate(cluster, whole, KEY, put('5'), 'all')();
    cluster.run(5000);
    for (const node of [behind, salvaged, whole]) cluster.crash(node);
    cluster.replaceDisk(salvaged, salvaged.disk.salvaged(NEW_ACTOR));
    cluster.start(salvaged);
    cluster.run(DISCONNECT_MS);
    return { cluster, salvaged };
  }

  test('goes on after it has replaced elsewhere what was bare, read after read', () => {
    const { cluster, behind, salvaged } = story();
    cluster.start(behind);
    cluster.start(salvaged);
    cluster.run(3000);
    const reply = write(cluster, behind, put('newer'), tokenOf(get(cluster, salvaged, 'quorum', null)));
    cluster.run(100);
    cluster.crash(salvaged);
    cluster.run(DISCONNECT_MS);
    let token = tokenOf(reply);
    for (let i = 0; i < 3; i++) {
      const read = get(cluster, behind, 'one', token);
      expect(dotsOf(read)).toEqual([dotText(dotOf(reply))]);
      token = tokenOf(read);
    }
  });

  test('goes on after its increment there', () => {
    const { cluster, salvaged } = numberStory();
    const token = tokenOf(get(cluster, salvaged, 'one', null));
    const reply = write(cluster, salvaged, { type: 'increment', by: 1 }, token);
    expect(dotsOf(get(cluster, salvaged, 'one', tokenOf(reply)))).toHaveLength(2);
  });

  test('goes on after its write there, which came after that of another client', () => {
    const { cluster, salvaged } = numberStory();
    const token = tokenOf(get(cluster, salvaged, 'one', null));
    write(cluster, salvaged, put('of another client'), null);
    const reply = write(cluster, salvaged, put('mine'), token);
    expect(dotsOf(get(cluster, salvaged, 'one', tokenOf(reply)))).toContain(dotText(dotOf(reply)));
  });

  test('that has seen a value replaced does not see it again after its increment there', () => {
    const cluster = formed(3);
    const [whole, behind, salvaged] = cluster.nodes as [SimNode, SimNode, SimNode];
    const replaced = dotText(dotOf(write(cluster, whole, put('100'), null)));
    cluster.run(5000);
    cluster.crash(behind);
    const expiresAtMs = whole.clock.now().wallMs + 60_000;
    mutate(cluster, whole, KEY, { ...put('5'), expiresAtMs } as Mutation, 'quorum')();
    const seen = tokenOf(get(cluster, whole, 'quorum', null));
    cluster.run(5000);
    cluster.crash(salvaged);
    cluster.replaceDisk(salvaged, salvaged.disk.salvaged(NEW_ACTOR));
    cluster.crash(whole);
    cluster.run(56_000);
    cluster.start(salvaged);
    cluster.run(DISCONNECT_MS);
    const token = tokenOf(write(cluster, salvaged, { type: 'increment', by: 1 }, seen));
    cluster.start(behind);
    cluster.run(3000);
    for (const node of [behind, salvaged]) {
      const read = get(cluster, node, 'quorum', token);
      if (read.type === 'get') expect(dotsOf(read)).not.toContain(replaced);
      else expect(read).toMatchObject(REFUSED);
    }
  });
});

test.each([false, true])(
  'an entry is bare where nobody who shows it knows of what it had replaced (known: %s)',
  (known) => {
    const node = new LoneReplica('a', { salvaged: true });
    const request = { type: 'get', ...NAME, level: 'quorum', session: null } as const;
    node.handle({ type: 'message', from: 'b', message: { type: 'forward', id: 1, request } });
    node.answerReads();
    const owners = ownersDigest(node.placement, [0]);
    const reply = { type: 'read-reply', status: 'object', standing: 'none', bare: NOTHING, owners } as const;
    // It has come ahead of its event, together with what that had replaced.
    const gone = { actor: EVENT.actor, counter: 7 };
    const context = CausalContext.fromDots(known ? [EVENT, gone] : []);
    const copy = { entries: known ? OBJECT.entries : [], context, past: known ? context : null };
    for (const { to, message } of node.sent) {
      if (message.type === 'read')
        node.handle({ type: 'message', from: to, message: { ...reply, id: message.id, ...copy } });
    }
    node.answerReads();
    const [answer] = node.sent.flatMap(({ message }) => (message.type === 'forward-reply' ? [message.reply] : []));
    expect(answer).toMatchObject({ type: 'get', entries: OBJECT.entries, context: COVERED });
    expect(answer).toMatchObject({ bare: known ? NOTHING : COVERED });
  },
);

describe('a listing', () => {
  test.each([false, true])('shows the keys that only a salvaged disk has, or has newer (snapshot: %s)', (snapshot) => {
    const { cluster, behind, salvaged } = story((all, writer) => {
      mutate(all, writer, 'missed', put('value'), 'quorum')();
    });
    cluster.start(behind);
    cluster.start(salvaged);
    const request = { type: 'list', bucket: BUCKET, prefix: '', after: '', limit: 10, values: true, snapshot } as const;
    const expectListed = (): void => {
      for (const node of [behind, salvaged]) {
        const reply = ask(cluster, node, request)();
        if (reply.type !== 'list') throw new Error(JSON.stringify(reply));
        const listed = Object.fromEntries(
          reply.items.map(({ key, entries }) => [key, entries.map(({ dot }) => dotText(dot)).sort()]),
        );
        const read = [KEY, 'missed'].map((key) => [key, dotsOf(get(cluster, node, 'quorum', null, key))]);
        expect(listed).toEqual(Object.fromEntries(read));
        expect(reply.complete).toBe(false);
      }
    };
    expect(cluster.runUntil(() => behind.running?.peers.has(salvaged.id) === true, DISCONNECT_MS, 1)).toBe(true);
    expectListed();
    cluster.run(30_000);
    expectListed();
  });
});
