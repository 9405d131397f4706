import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { type HeldLease, isHeld, TTL_MS_MAX, TTL_MS_MIN, timeText } from '../lock/lease.ts';
import type { Locks } from '../lock/locks.ts';
import { readJson } from './body.ts';
import type { HttpContext } from './context.ts';
import { LOCK_OWNER_CHARACTERS_MAX, LOCK_TTL_MS_DEFAULT, LOCK_WAIT_MS_MAX } from './limits.ts';
import { LOCK_PARAMS, LOCK_SCHEMA, LOCK_STATE_SCHEMA, problems } from './openapi.ts';
import { NO_QUERY } from './query.ts';
import { json } from './schema.ts';
import { lockTarget } from './target.ts';

const TTL_MS = z.int().min(TTL_MS_MIN).max(TTL_MS_MAX);
const TOKEN = z.int().min(1);

const ACQUIRE_BODY = z.strictObject({
  ttlMs: TTL_MS.default(LOCK_TTL_MS_DEFAULT),
  owner: z.string().min(1).max(LOCK_OWNER_CHARACTERS_MAX).optional(),
  waitMs: z.int().min(0).max(LOCK_WAIT_MS_MAX).default(0),
  attempt: z
    .string()
    .regex(/^[\x21-\x7e]{1,64}$/)
    .describe('1 to 64 printable ASCII characters without spaces')
    .optional(),
});
const RENEW_BODY = z.strictObject({ token: TOKEN, ttlMs: TTL_MS.optional() });
const RELEASE_BODY = z.strictObject({ token: TOKEN });

const UNAVAILABLE = ['quorum-unavailable', 'not-ready', 'shutting-down', 'too-many-requests'] as const;

/** `/v1/locks`: at most one holder of a name at a time, for a limited time. */
export function lockRoutes(app: FastifyInstance, context: HttpContext): void {
  acquireRoute(app, context);
  holderRoutes(app, context);

  app.route({
    method: 'GET',
    url: '/v1/locks/:name',
    schema: {
      operationId: 'lock',
      tags: ['Locks'],
      summary: 'Who holds a lock',
      params: LOCK_PARAMS,
      response: {
        200: json('The lock; one that nobody ever held is free.', LOCK_STATE_SCHEMA),
        ...problems('bad-request', 'bad-key', ...UNAVAILABLE),
      },
    },
    handler: async (request, reply) => {
      const url = request.raw.url ?? '';
      NO_QUERY.read(url);
      return reply.send(await lockState(context.locks, lockTarget(url)));
    },
  });
}

function acquireRoute(app: FastifyInstance, { locks, lockWaits }: HttpContext): void {
  app.route({
    method: 'POST',
    url: '/v1/locks/:name',
    schema: {
      operationId: 'acquireLock',
      tags: ['Locks'],
      summary: 'Acquire a lock',
      description:
        'The token is higher than that of every holder before: show it with whatever is done under the lock, and let what is ' +
        'written to refuse lower ones. `owner` is for people (default: the address of the client). With `waitMs` the node ' +
        'waits for a lock that is held. A client that got no answer asks again with the same `attempt`, a text of its own ' +
        'for this one acquisition: it then gets the lock that it may have got already, instead of waiting for itself.',
      params: LOCK_PARAMS,
      body: z.toJSONSchema(ACQUIRE_BODY, { io: 'input' }),
      response: {
        200: json('The lock is held until it expires, is renewed or released.', LOCK_SCHEMA),
        ...problems('bad-request', 'bad-key', 'lock-held', ...UNAVAILABLE),
      },
    },
    handler: async (request, reply) => {
      const url = request.raw.url ?? '';
      NO_QUERY.read(url);
      const name = lockTarget(url);
      const { ttlMs, owner = request.ip, waitMs, attempt } = await readJson(request.raw, ACQUIRE_BODY);
      const asked = { name, owner: owner.toWellFormed(), ttlMs, attempt: attempt ?? randomUUID() };
      const lease = await lockWaits.until(waitMs, reply.raw, () => locks.acquire(asked));
      // Nobody else can know of it. One that named its attempt may be asking again already.
      if (isGone(reply.raw) && attempt === undefined) await locks.release(name, lease.token);
      return reply.send(lockJson(name, lease));
    },
  });
}

function holderRoutes(app: FastifyInstance, { locks }: HttpContext): void {
  app.route({
    method: 'POST',
    url: '/v1/locks/:name/renew',
    schema: {
      operationId: 'renewLock',
      tags: ['Locks'],
      summary: 'Hold a lock for longer',
      description:
        'From now on for `ttlMs` (default: as before), and no shorter than it was held already. Also good after its end, ' +
        'where nobody else has acquired the lock.',
      params: LOCK_PARAMS,
      body: z.toJSONSchema(RENEW_BODY, { io: 'input' }),
      response: {
        200: json('The lock with its new end.', LOCK_SCHEMA),
        ...problems('bad-request', 'bad-key', 'stale-token', ...UNAVAILABLE),
      },
    },
    handler: async (request, reply) => {
      const url = request.raw.url ?? '';
      NO_QUERY.read(url);
      const name = lockTarget(url, '/renew');
      const { token, ttlMs = null } = await readJson(request.raw, RENEW_BODY);
      return reply.send(lockJson(name, await locks.renew({ name, token, ttlMs })));
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/locks/:name/release',
    schema: {
      operationId: 'releaseLock',
      tags: ['Locks'],
      summary: 'Release a lock',
      description: 'Succeeds as well where the lock was released or has expired, and nobody else holds it.',
      params: LOCK_PARAMS,
      body: z.toJSONSchema(RELEASE_BODY, { io: 'input' }),
      response: {
        204: { type: 'null', description: 'The token holds the lock no longer.' },
        ...problems('bad-request', 'bad-key', 'stale-token', ...UNAVAILABLE),
      },
    },
    handler: async (request, reply) => {
      const url = request.raw.url ?? '';
      NO_QUERY.read(url);
      const name = lockTarget(url, '/release');
      const { token } = await readJson(request.raw, RELEASE_BODY);
      await locks.release(name, token);
      return reply.code(204).send();
    },
  });
}

async function lockState(locks: Locks, name: string): Promise<object> {
  const lease = await locks.read(name);
  const token = lease?.token ?? null;
  if (lease === null || !isHeld(lease, locks.nowMs())) {
    return { name, held: false, owner: null, token, expiresAt: null };
  }
  return { name, held: true, owner: lease.owner, token, expiresAt: timeText(lease.untilMs) };
}

function lockJson(name: string, { owner, token, ttlMs, untilMs }: HeldLease): object {
  return { name, owner, token, ttlMs, expiresAt: timeText(untilMs) };
}

/** The client has closed its connection, or it broke. */
function isGone(response: ServerResponse): boolean {
  return response.closed || response.destroyed;
}
