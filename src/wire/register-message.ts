import type { Lane } from '../ports/transport.ts';
import { type AcceptMessage, type Refusal, type RegisterMessage, ROWS_PAGE_MAX } from '../protocol/register/message.ts';
import type { NamedRow, RegisterName } from '../protocol/register/record.ts';
import type { AppliedReply, NotAppliedReply, RegisterReply, RegisterRequest } from '../protocol/register/request.ts';
import type { Condition, Shown } from '../protocol/register/value.ts';
import { type Codec, integer, list, mapped, nullable, record, union } from './codec.ts';
import { failure } from './failure.ts';
import { recurring, scoped } from './recurring.ts';
import { accepted, acceptorRow, ballot, content, knownRun, proposers, registerValue } from './register-value.ts';
import { shard } from './sync-message.ts';
import { bucketName, keyText, objectName } from './value.ts';

/** The byte forms of what nodes say of registers. */

type Fields<T extends RegisterMessage['type']> = Omit<Extract<RegisterMessage, { type: T }>, 'type'>;
type Variants = { readonly [T in RegisterMessage['type']]: readonly [tag: number, codec: Codec<Fields<T>>] };

const id = integer();
const epoch = integer();
const budget: Codec<number> = mapped(integer(), Math.floor, (value) => value);
const buckets = recurring(bucketName);

const name: Codec<RegisterName> = objectName;
const nextName: Codec<RegisterName> = record<RegisterName>({ bucket: buckets.codec, key: keyText });

const condition: Codec<Condition> = union<Condition, 'type'>('type', {
  none: [0, record({})],
  absent: [1, record({})],
  present: [2, record({})],
  version: [3, record({ version: ballot })],
});

const request: Codec<RegisterRequest> = union<RegisterRequest, 'type'>('type', {
  'strong-get': [0, record({ bucket: bucketName, key: keyText })],
  'strong-put': [1, record({ bucket: bucketName, key: keyText, content, condition })],
  'strong-delete': [2, record({ bucket: bucketName, key: keyText, condition })],
});

/** The two replies to a change have forms of their own. */
type ReplyForm =
  | Exclude<RegisterReply, { type: 'strong-change' }>
  | (Omit<AppliedReply, 'type' | 'applied'> & { readonly type: 'applied' })
  | (Omit<NotAppliedReply, 'type' | 'applied'> & { readonly type: 'not-applied' });

const shownFields = { content: nullable(content), version: nullable(ballot) };
const replyForm = union<ReplyForm, 'type'>('type', {
  'strong-get': [0, record<Shown>(shownFields)],
  applied: [1, record({ version: nullable(ballot) })],
  'not-applied': [2, record<Shown>(shownFields)],
  failed: [3, record({ failure })],
});
const reply: Codec<RegisterReply> = mapped(
  replyForm,
  (value: RegisterReply): ReplyForm => {
    if (value.type !== 'strong-change') return value;
    if (value.applied) return { type: 'applied', version: value.version };
    return { type: 'not-applied', content: value.content, version: value.version };
  },
  (value): RegisterReply => {
    if (value.type === 'applied') return { type: 'strong-change', applied: true, version: value.version };
    if (value.type !== 'not-applied') return value;
    return { type: 'strong-change', applied: false, content: value.content, version: value.version };
  },
);

const refusal: Codec<Refusal> = union<Refusal, 'reason'>('reason', {
  promised: [0, record({ promised: ballot })],
  'stale-epoch': [1, record({ epoch })],
  'unknown-epoch': [2, record({ epoch })],
  'not-ready': [3, record({})],
});

const memories = [proposers, buckets];
const whole = <T extends object>(codec: Codec<T>): Codec<T> => scoped(codec, memories);

const round = whole(record<Fields<'register-query'>>({ shard, name, epoch, ballot }));
const accept = whole(
  record<Omit<AcceptMessage, 'type'>>({ shard, name, epoch, ballot, value: registerValue, next: nullable(ballot) }),
);
const report = whole(record<Fields<'register-current'>>({ name, ballot, accepted: nullable(accepted), floor: ballot }));
const done = whole(record<Fields<'register-accepted'>>({ name, ballot }));
const row: Codec<NamedRow> = record<NamedRow>({ name: nextName, row: acceptorRow });

/** For the union of all messages: tags from 90 to 104. */
export const registerMessages: Variants = {
  'register-query': [90, round],
  'register-prepare': [91, round],
  'register-accept': [92, accept],
  'register-erase': [93, round],
  'register-current': [94, report],
  'register-promise': [95, report],
  'register-accepted': [96, done],
  'register-erased': [97, done],
  'register-refused': [98, whole(record({ name, ballot, refusal }))],
  'register-forward': [99, whole(record({ id, origin: proposers.codec, run: knownRun, budgetMs: budget, request }))],
  'register-forward-reply': [100, whole(record({ id, origin: proposers.codec, reply }))],
  'register-forward-working': [101, whole(record({ id, origin: proposers.codec }))],
  'register-forward-refused': [
    102,
    whole(record({ id, origin: proposers.codec, refused: knownRun, run: proposers.codec })),
  ],
  'register-rows-ask': [103, record({ shard, epoch, after: nullable(name) })],
  'register-rows': [
    104,
    whole(
      record({
        shard,
        epoch,
        after: nullable(nextName),
        rows: list(row, ROWS_PAGE_MAX),
        last: nullable(nextName),
        floor: ballot,
      }),
    ),
  ],
};

/** Rounds wait for no takeover. */
export function registerLane(type: RegisterMessage['type']): Lane {
  return type === 'register-rows-ask' || type === 'register-rows' ? 'bulk' : 'data';
}
