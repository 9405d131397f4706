import fc from 'fast-check';
import { type Ballot, COUNTER_MAX, NO_BALLOT } from '../../src/protocol/register/ballot.ts';
import { type RegisterMessage, ROWS_PAGE_MAX } from '../../src/protocol/register/message.ts';
import type { Accepted, AcceptorRow, RegisterName, ShardRecord } from '../../src/protocol/register/record.ts';
import type { RegisterReply, RegisterRequest } from '../../src/protocol/register/request.ts';
import type { Condition, RegisterContent, RegisterValue } from '../../src/protocol/register/value.ts';
import { actor, bucket, failure, key, shard, text } from './name-arbitraries.ts';

const count = fc.maxSafeNat();
const epoch = fc.maxSafeNat();
/** Few, so that they recur within a message. */
const proposer = fc.oneof(actor, fc.constantFrom('0000000000000001', 'ffffffffffffffff'));
const nodeId = text(128);

const ballot: fc.Arbitrary<Ballot> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ counter: fc.integer({ min: 1, max: COUNTER_MAX }), proposer }) },
  { weight: 1, arbitrary: fc.constant(NO_BALLOT) },
);

const content: fc.Arbitrary<RegisterContent> = fc.record({
  bytes: fc.uint8Array({ maxLength: 40 }),
  contentType: text(256),
  expiresAtMs: fc.option(count),
});
const value: fc.Arbitrary<RegisterValue> = fc.record({ version: ballot, base: ballot, content: fc.option(content) });
const accepted: fc.Arbitrary<Accepted> = fc.record({ ballot, value, copied: fc.boolean() });
export const registerName: fc.Arbitrary<RegisterName> = fc.record({
  bucket: fc.oneof(bucket, fc.constantFrom('default', 'locks')),
  key,
});
export const acceptorRow: fc.Arbitrary<AcceptorRow> = fc.record({
  promised: ballot,
  accepted: fc.option(accepted),
  generation: count,
});
const group = fc.array(fc.oneof(nodeId, fc.constantFrom('n1', 'n2', 'n3')), { maxLength: 7 });
export const shardRecord: fc.Arbitrary<ShardRecord> = fc.record({
  floor: ballot,
  epoch: fc.oneof(fc.constant(-1), fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER - 1 })),
  member: fc.boolean(),
  whole: fc.array(group, { maxLength: 2 }),
  generation: count,
});

const condition: fc.Arbitrary<Condition> = fc.oneof(
  fc.constantFrom({ type: 'none' as const }, { type: 'absent' as const }, { type: 'present' as const }),
  fc.record({ type: fc.constant('version' as const), version: ballot }),
);
const request: fc.Arbitrary<RegisterRequest> = fc.oneof(
  fc.record({ type: fc.constant('strong-get' as const), bucket, key }),
  fc.record({ type: fc.constant('strong-put' as const), bucket, key, content, condition }),
  fc.record({ type: fc.constant('strong-delete' as const), bucket, key, condition }),
);
const shown = { content: fc.option(content), version: fc.option(ballot) };
const reply: fc.Arbitrary<RegisterReply> = fc.oneof(
  fc.record({ type: fc.constant('strong-get' as const), ...shown }),
  fc.record({
    type: fc.constant('strong-change' as const),
    applied: fc.constant(true as const),
    version: fc.option(ballot),
  }),
  fc.record({ type: fc.constant('strong-change' as const), applied: fc.constant(false as const), ...shown }),
  fc.record({ type: fc.constant('failed' as const), failure }),
);

const round = { shard, name: registerName, epoch, ballot };
const answer = { name: registerName, ballot };
const report = { ...answer, accepted: fc.option(accepted), floor: ballot };

/** The fields of each message, its type left out; a new message does not compile until it is listed here. */
export const REGISTER_FIELDS: {
  readonly [T in RegisterMessage['type']]: fc.Arbitrary<Omit<Extract<RegisterMessage, { readonly type: T }>, 'type'>>;
} = {
  'register-query': fc.record(round),
  'register-prepare': fc.record(round),
  'register-accept': fc.record({ ...round, value, next: fc.option(ballot) }),
  'register-erase': fc.record(round),
  'register-current': fc.record(report),
  'register-promise': fc.record(report),
  'register-accepted': fc.record(answer),
  'register-erased': fc.record(answer),
  'register-refused': fc.record({
    ...answer,
    refusal: fc.oneof(
      fc.record({ reason: fc.constant('promised' as const), promised: ballot }),
      fc.record({ reason: fc.constantFrom('stale-epoch' as const, 'unknown-epoch' as const), epoch }),
      fc.record({ reason: fc.constant('not-ready' as const) }),
    ),
  }),
  'register-forward': fc.record({
    id: count,
    origin: proposer,
    run: fc.oneof(proposer, fc.constant('')),
    budgetMs: fc.nat(2000),
    request,
  }),
  'register-forward-reply': fc.record({ id: count, origin: proposer, reply }),
  'register-forward-working': fc.record({ id: count, origin: proposer }),
  'register-forward-refused': fc.record({
    id: count,
    origin: proposer,
    refused: fc.oneof(proposer, fc.constant('')),
    run: proposer,
  }),
  'register-rows-ask': fc.record({ shard, epoch, after: fc.option(registerName) }),
  'register-rows': fc.record({
    shard,
    epoch,
    after: fc.option(registerName),
    rows: fc.array(fc.record({ name: registerName, row: acceptorRow }), { maxLength: ROWS_PAGE_MAX }),
    last: fc.option(registerName),
    floor: ballot,
  }),
};

export const REGISTER_MESSAGE_TYPES = Object.keys(REGISTER_FIELDS) as RegisterMessage['type'][];

/** Valid messages of one type. */
export function registerMessageOf(type: RegisterMessage['type']): fc.Arbitrary<RegisterMessage> {
  const fields: fc.Arbitrary<object> = REGISTER_FIELDS[type];
  return fields.map((rest) => ({ ...rest, type }) as RegisterMessage);
}
