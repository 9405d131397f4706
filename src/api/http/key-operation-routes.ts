import type { IncomingMessage } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifySchema } from 'fastify';
import { z } from 'zod';
import { failure } from '../../lib/failure.ts';
import { collectionSize, type MutateReply, type Mutation, readCounter, readMap } from '../../ports/node-handle.ts';
import { readJson } from './body.ts';
import { type HttpContext, requireEventualBucket } from './context.ts';
import { type KeyOperation, onOperation } from './key-operation.ts';
import { setWritten, WRITE_QUERY } from './kv-routes.ts';
import { COLLECTION_ITEMS_MAX, COLLECTION_JSON_BYTES_MAX } from './limits.ts';
import { contextHeader, ENTITY_HEADERS, KEY_PARAMS, problems, WRITE_HEADERS } from './openapi.ts';
import { DEFAULT_LEVEL } from './query.ts';
import { keyTarget } from './target.ts';
import { contextOf } from './value-reply.ts';

/** `POST /v1/kv/{bucket}/{key}/…`: changes of counters, sets and maps. */
export function keyOperationRoutes(app: FastifyInstance, context: HttpContext): void {
  operation(app, context, INCREMENT);
  operation(app, context, ADD);
  operation(app, context, REMOVE);
  operation(app, context, FIELDS);
}

interface Operation<Body> {
  readonly name: KeyOperation;
  readonly operationId: string;
  readonly summary: string;
  readonly description: string;
  readonly body: z.ZodType<Body>;
  /** For the API's description and refusals, where it says more than `body`. */
  readonly bodyShown?: z.ZodType;
  readonly mutation: (body: Body) => Mutation;
  /** What the answer says, by name. */
  readonly result: (written: MutateReply, body: Body) => Readonly<Record<string, number | null>>;
  readonly response: Readonly<Record<string, object>>;
  readonly required: readonly string[];
}

function operation<Body>(app: FastifyInstance, { node }: HttpContext, about: Operation<Body>): void {
  app.route({
    method: 'POST',
    url: '/v1/kv/:bucket/*',
    constraints: onOperation(about.name),
    schema: schemaOf(about),
    handler: async (request, reply): Promise<FastifyReply> => {
      const url = request.raw.url ?? '';
      const { w } = WRITE_QUERY.read(url);
      const { bucket, key } = keyTarget(url, `/${about.name}`);
      requireEventualBucket(node, bucket, STRONG_REFUSAL);
      const context = contextOf(request.raw.headers['holdfast-context'], { bucket, key });
      const body = await bodyOf(request.raw, about);
      const mutation = about.mutation(body);
      const written = await node.request({ type: 'mutate', bucket, key, mutation, level: w ?? DEFAULT_LEVEL, context });
      setWritten(reply, written, { bucket, key });
      return reply.send(about.result(written, body));
    },
  });
}

const STRONG_REFUSAL =
  'a strong bucket has no counters, sets and maps; read the value, and PUT the new one with its ETag as If-Match';

const BODY_LIMIT = {
  bytesMax: COLLECTION_JSON_BYTES_MAX,
  tooLarge: failure('value-too-large', `the body is longer than ${COLLECTION_JSON_BYTES_MAX} bytes; send it in parts`, {
    data: { limit: 'collectionJsonBytesMax', max: COLLECTION_JSON_BYTES_MAX },
  }),
};

function bodyOf<Body>(request: IncomingMessage, { body, bodyShown = body }: Operation<Body>): Promise<Body> {
  return readJson(request, body, { limit: BODY_LIMIT, shown: bodyShown });
}

function schemaOf<Body>({
  operationId,
  summary,
  description,
  body,
  bodyShown = body,
  response,
  required,
}: Operation<Body>): FastifySchema {
  return {
    operationId,
    tags: ['Data'],
    summary,
    description,
    params: KEY_PARAMS,
    querystring: WRITE_QUERY.schema,
    headers: { type: 'object', properties: contextHeader },
    body: z.toJSONSchema(bodyShown, { io: 'input' }),
    response: {
      200: {
        description: 'As the coordinating node sees it, this change included.',
        headers: { ...ENTITY_HEADERS, ...WRITE_HEADERS },
        type: 'object',
        properties: response,
        required,
      },
      ...problems(
        'bad-request',
        'bad-key',
        'bad-context',
        'bad-value',
        'wrong-type',
        'not-a-number',
        'bad-bucket',
        'bucket-not-found',
        'value-too-large',
        'clock-drift',
        'not-supported',
        'quorum-unavailable',
        'not-ready',
        'island-refused',
        'disk-full',
      ),
    },
  };
}

const utf8 = new TextEncoder();
const TEXT = z.string().refine((text) => text.isWellFormed(), 'is not valid UTF-8; use text without lone surrogates');
const BYTES = z
  .union([TEXT, z.strictObject({ base64: z.base64() })])
  .describe('Text, or {"base64": …} for bytes that are no UTF-8.');
type Bytes = z.infer<typeof BYTES>;

function bytesOf(value: Bytes): Uint8Array {
  return typeof value === 'string' ? utf8.encode(value) : Buffer.from(value.base64, 'base64');
}

const LIST = z.array(BYTES).min(1).max(COLLECTION_ITEMS_MAX);
const MEMBERS = z.strictObject({ members: LIST });
const COUNT = { type: 'integer' };

export const INCREMENT_BODY = z.strictObject({ by: z.int().default(1) });

const INCREMENT: Operation<z.infer<typeof INCREMENT_BODY>> = {
  name: 'increment',
  operationId: 'increment',
  summary: 'Add to a counter',
  description:
    'Increments on both sides of a partition add up. An absent key counts from 0, a value that is a decimal integer ' +
    'from there. An empty body adds 1.',
  body: INCREMENT_BODY,
  mutation: ({ by }) => ({ type: 'increment', by }),
  result: ({ after }) => ({ value: readCounter(after) as number }),
  response: { value: COUNT },
  required: ['value'],
};

const ADD: Operation<z.infer<typeof MEMBERS>> = {
  name: 'add',
  operationId: 'addMembers',
  summary: 'Add members to a set',
  description:
    'The members are in the set from now on, also where they are removed concurrently. An absent key is an empty set. ' +
    'The expiry of the key stays.',
  body: MEMBERS,
  mutation: ({ members }) => ({ type: 'add', members: members.map(bytesOf) }),
  result: ({ before, after }) => ({ added: collectionSize(after) - collectionSize(before) }),
  response: { added: { ...COUNT, description: 'How many were not there before.' } },
  required: ['added'],
};

const REMOVE: Operation<z.infer<typeof MEMBERS>> = {
  name: 'remove',
  operationId: 'removeMembers',
  summary: 'Remove members from a set',
  description:
    'Removes what the Holdfast-Context has seen, without one what a quorum of the owners has; a member that is added ' +
    'concurrently stays. With its last member the key is gone.',
  body: MEMBERS,
  mutation: ({ members }) => ({ type: 'remove', members: members.map(bytesOf) }),
  result: ({ before, after }) => ({ removed: collectionSize(before) - collectionSize(after) }),
  response: { removed: { ...COUNT, description: 'How many were there before.' } },
  required: ['removed'],
};

/** As pairs: an object made of them would lose a field called `__proto__`. */
const PAIRS = z.unknown().transform((document, context): [string, Bytes][] => {
  const isObject = typeof document === 'object' && document !== null && !Array.isArray(document);
  const entries = isObject ? Object.entries(document) : [];
  if (entries.length === 0 || entries.length > COLLECTION_ITEMS_MAX) {
    const message = `there must be 1 to ${COLLECTION_ITEMS_MAX} fields; use an object of them with their values`;
    context.addIssue({ code: 'custom', message });
  }
  return entries.map(([field, value]) => {
    const name = TEXT.safeParse(field);
    const bytes = BYTES.safeParse(value);
    for (const { error } of [name, bytes]) {
      for (const issue of error?.issues ?? []) context.addIssue({ ...issue, path: [field, ...issue.path] });
    }
    return [field, bytes.data ?? ''];
  });
});
const INCREASE = z.strictObject({ field: BYTES, by: z.int().default(1) });
/** One change at a time: several would not be one write. */
const FIELDS_BODY = z.union([
  z.strictObject({ put: PAIRS }),
  z.strictObject({ remove: LIST }),
  z.strictObject({ increment: INCREASE }),
]);
const FIELDS_BODY_SHOWN = z.union([
  z.strictObject({ put: z.record(z.string(), BYTES) }),
  z.strictObject({ remove: LIST }),
  z.strictObject({ increment: INCREASE }),
]);

const FIELDS: Operation<z.infer<typeof FIELDS_BODY>> = {
  name: 'fields',
  operationId: 'changeFields',
  summary: 'Change fields of a map',
  description:
    'One of `put`, `remove` and `increment`. An absent key is an empty map, and a map without fields is gone. Of ' +
    'concurrent values of one field readers see the latest, in `siblings` buckets too; increments add up; a field that ' +
    'is put concurrently with its removal stays.',
  body: FIELDS_BODY,
  bodyShown: FIELDS_BODY_SHOWN,
  mutation: (body) => {
    if ('remove' in body) return { type: 'remove-fields', fields: body.remove.map(bytesOf) };
    if ('increment' in body) {
      return { type: 'increment-field', field: bytesOf(body.increment.field), by: body.increment.by };
    }
    const fields = body.put.map(([field, value]) => ({ field: utf8.encode(field), value: bytesOf(value) }));
    return { type: 'put-fields', fields, onlyIf: null };
  },
  result: ({ before, after }, body) => {
    if ('remove' in body) return { removed: collectionSize(before) - collectionSize(after) };
    if ('increment' in body) return { value: Number(new TextDecoder().decode(readMap(after)[0]?.value)) };
    return { added: collectionSize(after) - collectionSize(before) };
  },
  response: {
    added: { ...COUNT, description: 'Of `put`: how many fields were not there before.' },
    removed: { ...COUNT, description: 'Of `remove`: how many were there before.' },
    value: { ...COUNT, description: 'Of `increment`.' },
  },
  required: [],
};
