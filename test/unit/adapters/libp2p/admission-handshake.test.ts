import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ClusterHello, HandshakeStep } from '../../../../src/adapters/libp2p/admission-handshake.ts';
import { AdmissionHandshake } from '../../../../src/adapters/libp2p/admission-handshake.ts';
import { deriveAdmissionKey } from '../../../../src/adapters/libp2p/admissions.ts';

const HELLO: ClusterHello = { clusterId: 'c1', versionMin: 1, versionMax: 3, shards: 256 };
const KEY = new Uint8Array(32).fill(1);

interface Side {
  self?: string;
  peer?: string;
  key?: Uint8Array;
  hello?: Partial<ClusterHello>;
}

function initiator(side: Side = {}): AdmissionHandshake {
  return create('initiator', { self: 'alice', peer: 'bob', ...side });
}

function responder(side: Side = {}): AdmissionHandshake {
  return create('responder', { self: 'bob', peer: 'alice', ...side });
}

function create(role: 'initiator' | 'responder', side: Side): AdmissionHandshake {
  return new AdmissionHandshake({
    role,
    key: side.key ?? KEY,
    self: side.self ?? '',
    peer: side.peer ?? '',
    hello: { ...HELLO, ...side.hello, addresses: [`/ip4/10.0.0.1/tcp/7400`] },
  });
}

/** Runs both to the end and returns their outcomes. */
function run(
  a: AdmissionHandshake,
  b: AdmissionHandshake,
): { a: HandshakeStep['outcome']; b: HandshakeStep['outcome'] } {
  let message = a.start();
  const outcomes: { a: HandshakeStep['outcome']; b: HandshakeStep['outcome'] } = { a: undefined, b: undefined };
  for (let turn = 0; message !== undefined && turn < 10; turn++) {
    const [to, name] = turn % 2 === 0 ? ([b, 'b'] as const) : ([a, 'a'] as const);
    const step = to.handleMessage(message);
    outcomes[name] ??= step.outcome;
    message = step.send;
  }
  return outcomes;
}

describe('AdmissionHandshake', () => {
  it('admits both sides that hold the secret and tells each what the other said', () => {
    const { a, b } = run(initiator({ hello: { versionMax: 2 } }), responder());
    expect(a).toMatchObject({ kind: 'admitted', hello: { versionMax: 3, addresses: ['/ip4/10.0.0.1/tcp/7400'] } });
    expect(b).toMatchObject({ kind: 'admitted', hello: { versionMax: 2 } });
  });

  it.each([
    ['secret-mismatch', { key: new Uint8Array(32).fill(2) }],
    ['cluster-mismatch', { hello: { clusterId: 'c2' } }],
    ['version-mismatch', { hello: { versionMin: 4, versionMax: 5 } }],
    ['shards-mismatch', { hello: { shards: 64 } }],
    ['secret-mismatch', { self: 'mallory' }],
    ['secret-mismatch', { peer: 'mallory' }],
  ] as const)('refuses %s at both ends', (code, side) => {
    const { a, b } = run(initiator(side), responder());
    expect(b).toMatchObject({ kind: 'refused', code, by: 'self' });
    expect(a).toMatchObject({ kind: 'refused', code, by: 'peer' });
  });

  it('does not admit a responder that never proves the secret', () => {
    const alice = initiator();
    const mallory = responder({ key: new Uint8Array(32) });
    const hello = mallory.handleMessage(alice.start() as Uint8Array).send as Uint8Array;
    const proof = alice.handleMessage(hello).send as Uint8Array;
    // Reflecting the initiator's own proof, the only one that an impostor has seen.
    expect(alice.handleMessage(proof).outcome).toMatchObject({ kind: 'refused', code: 'secret-mismatch', by: 'self' });
  });

  it('does not accept the proof of an earlier handshake', () => {
    const recorded = new Map<string, Uint8Array>();
    const bob = responder();
    const alice = initiator();
    const first = alice.start() as Uint8Array;
    recorded.set('hello', first);
    recorded.set('proof', alice.handleMessage(bob.handleMessage(first).send as Uint8Array).send as Uint8Array);
    const again = responder();
    again.handleMessage(recorded.get('hello') as Uint8Array);
    expect(again.handleMessage(recorded.get('proof') as Uint8Array).outcome).toMatchObject({ code: 'secret-mismatch' });
  });

  it('refuses a proof before the hello, a second hello and unknown messages', () => {
    const proof = new Uint8Array(33);
    proof[0] = 2;
    expect(responder().handleMessage(proof).outcome).toMatchObject({ kind: 'refused', code: 'malformed' });
    expect(responder().handleMessage(new Uint8Array([9])).outcome).toMatchObject({ code: 'malformed' });
    const bob = responder();
    const hello = initiator().start() as Uint8Array;
    expect(bob.handleMessage(hello).outcome).toBeUndefined();
    expect(bob.handleMessage(hello).outcome).toMatchObject({ code: 'malformed' });
  });

  it('never throws and never admits on arbitrary input', () => {
    const json = fc.json().map((text) => Buffer.concat([Buffer.of(1), Buffer.from(text)]));
    const bytes = fc
      .tuple(fc.constantFrom(0, 1, 2, 3), fc.uint8Array({ maxLength: 100 }))
      .map(([type, rest]) => Buffer.concat([Buffer.of(type), rest]));
    fc.assert(
      fc.property(fc.array(fc.oneof(json, bytes), { maxLength: 6 }), (messages) => {
        const bob = responder();
        for (const message of messages) expect(bob.handleMessage(message).outcome?.kind).not.toBe('admitted');
      }),
    );
  });

  it('derives keys that differ by secret and by cluster', async () => {
    const keys = await Promise.all([
      deriveAdmissionKey('s', 'c'),
      deriveAdmissionKey('s', 'd'),
      deriveAdmissionKey('t', 'c'),
      deriveAdmissionKey('s', 'c'),
    ]);
    const texts = keys.map((key) => Buffer.from(key).toString('hex'));
    expect(new Set(texts).size).toBe(3);
    expect(texts[3]).toBe(texts[0]);
  });
});
