import fc from 'fast-check';
import { CausalContext } from '../../src/protocol/causal/context.ts';
import type { Mutation } from '../../src/protocol/causal/mutation.ts';
import { type Cluster, KEYS, START_MS } from './causal-cluster.ts';

const expiry = fc.integer({ min: -500, max: 3000 }).map((ms) => START_MS + ms);
const members = fc.array(fc.constantFrom('a', 'b', 'c', '').map(bytes), { minLength: 1, maxLength: 3 });
const field = fc.constantFrom('f', 'g').map(bytes);
const fields = fc.array(fc.record({ field, value: fc.constantFrom('1', '20', 'x').map(bytes) }), {
  minLength: 1,
  maxLength: 3,
});
const smallStep = fc.integer({ min: -5, max: 5 });

interface Weighted {
  readonly weight: number;
  readonly arbitrary: fc.Arbitrary<Mutation>;
}

const REGISTERS: readonly Weighted[] = [
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 99 }).map((n) => put(String(n), 0)) },
  { weight: 1, arbitrary: expiry.map((expiresAtMs) => put('7', expiresAtMs)) },
  { weight: 3, arbitrary: fc.constant<Mutation>({ type: 'delete' }) },
];
const COUNTERS: readonly Weighted[] = [
  { weight: 3, arbitrary: smallStep.map((by): Mutation => ({ type: 'increment', by })) },
];
const EXPIRIES: readonly Weighted[] = [
  { weight: 2, arbitrary: expiry.map((expiresAtMs): Mutation => ({ type: 'expire', expiresAtMs })) },
  { weight: 1, arbitrary: fc.constant<Mutation>({ type: 'expire', expiresAtMs: 0 }) },
];
const APPENDS: readonly Weighted[] = [
  { weight: 1, arbitrary: fc.constant<Mutation>({ type: 'append', value: bytes('1') }) },
];
const SETS: readonly Weighted[] = [
  { weight: 5, arbitrary: members.map((list): Mutation => ({ type: 'add', members: list })) },
  { weight: 5, arbitrary: members.map((list): Mutation => ({ type: 'remove', members: list })) },
];
const MAPS: readonly Weighted[] = [
  { weight: 3, arbitrary: fields.map((list): Mutation => ({ type: 'put-fields', fields: list, onlyIf: null })) },
  { weight: 1, arbitrary: fields.map((list): Mutation => ({ type: 'put-fields', fields: list, onlyIf: 'absent' })) },
  {
    weight: 3,
    arbitrary: fc.array(field, { maxLength: 3 }).map((list): Mutation => ({ type: 'remove-fields', fields: list })),
  },
  { weight: 3, arbitrary: fc.tuple(field, smallStep).map(([name, by]) => incrementField(name, by)) },
];
/** Now and then one of another type comes between those of one type. */
const RARE_PUT: Weighted = { weight: 1, arbitrary: fc.constant(put('0', 0)) };
const RARE_DELETE: Weighted = { weight: 1, arbitrary: fc.constant<Mutation>({ type: 'delete' }) };

/** What the clients of one run do: mostly one type of value, or all. */
const THEMES: readonly (readonly Weighted[])[] = [
  [...REGISTERS, ...COUNTERS, ...EXPIRIES],
  [...SETS, ...EXPIRIES, RARE_PUT, RARE_DELETE],
  [...MAPS, ...EXPIRIES, RARE_PUT, RARE_DELETE],
  [...REGISTERS, ...COUNTERS, ...EXPIRIES, ...SETS, ...MAPS],
];

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function put(text: string, expiresAtMs: number): Mutation {
  return { type: 'put', value: bytes(text), contentType: 'text/plain', expiresAtMs, onlyIf: null };
}

function incrementField(name: Uint8Array, by: number): Mutation {
  return { type: 'increment-field', field: name, by };
}

export type Step =
  | { type: 'mutate'; node: number; key: string; mutation: Mutation; reads: number | null }
  | { type: 'deliver'; events: readonly number[]; node: number }
  | { type: 'begin-copy'; from: number; to: number }
  | { type: 'copy-key'; session: number; key: string }
  | { type: 'copy-all'; from: number; to: number }
  | { type: 'wait'; ms: number };

export const node = fc.nat(3);
const key = fc.constantFrom(...KEYS);
const stepOf = (mutation: fc.Arbitrary<Mutation>): fc.Arbitrary<Step> =>
  fc.oneof(
    {
      weight: 5,
      // `reads`: the node whose copy the client read before it writes; null: none.
      arbitrary: fc.record({
        type: fc.constant('mutate' as const),
        node,
        key,
        mutation,
        reads: fc.option(node, { freq: 4 }),
      }),
    },
    {
      weight: 8,
      arbitrary: fc.record({
        type: fc.constant('deliver' as const),
        events: fc.array(fc.nat(1000), { minLength: 1, maxLength: 3 }),
        node,
      }),
    },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('begin-copy' as const), from: node, to: node }) },
    { weight: 2, arbitrary: fc.record({ type: fc.constant('copy-key' as const), session: fc.nat(1000), key }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('copy-all' as const), from: node, to: node }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('wait' as const), ms: fc.nat(1000) }) },
  );

export function run(cluster: Cluster, next: Step): void {
  switch (next.type) {
    case 'mutate': {
      const read = next.reads === null ? null : cluster.object(cluster.node(next.reads), next.key);
      const context = read === null ? null : CausalContext.fromDots(read.entries.map((entry) => entry.dot));
      cluster.mutate(next.node, next.key, next.mutation, context);
      break;
    }
    case 'deliver': {
      const events = next.events.flatMap((n) => cluster.events[n % Math.max(1, cluster.events.length)] ?? []);
      cluster.deliver(events, cluster.node(next.node));
      break;
    }
    case 'begin-copy':
      cluster.begin(cluster.node(next.from), cluster.node(next.to));
      break;
    case 'copy-key': {
      const session = cluster.sessions[next.session % Math.max(1, cluster.sessions.length)];
      if (session !== undefined) cluster.copyKey(session, next.key);
      break;
    }
    case 'copy-all':
      cluster.copyAll(cluster.node(next.from), cluster.node(next.to));
      break;
    case 'wait':
      cluster.wallMs += next.ms;
      break;
  }
}

export interface History {
  readonly size: number;
  readonly steps: readonly Step[];
}

function historyOf(further: readonly Weighted[]): fc.Arbitrary<History> {
  const themed = THEMES.map((theme) => {
    const steps = fc.array(stepOf(fc.oneof(...theme, ...further)), { maxLength: 60, size: 'max' });
    return fc.record({ size: fc.integer({ min: 2, max: 4 }), steps });
  });
  return fc.oneof(...themed);
}

export const anyHistory: fc.Arbitrary<History> = historyOf(APPENDS);
/** Without those whose outcome depends on how the bytes of a value are put together. */
export const modelledHistory: fc.Arbitrary<History> = historyOf([]);
