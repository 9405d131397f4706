import type { FastifyInstance } from 'fastify';
import { failure, HoldfastError } from '../../lib/failure.ts';
import { NOT_READY } from '../not-ready.ts';
import { problems, TEXT } from './openapi.ts';
import { json } from './schema.ts';

const STATE_SCHEMA = { type: 'object', properties: { status: { type: 'string' } }, required: ['status'] };

const HUB_NOT_READY = failure(
  'not-ready',
  'the hub is starting or stopping, or its database does not answer; try again',
);

/** Who is asked. */
export interface Operated {
  /** For people. */
  readonly what: 'node' | 'hub';
  isReady(): Promise<boolean>;
  /** Prometheus text format. */
  metrics(): Promise<string>;
}

/** `/healthz`, `/readyz`, `/metrics`. */
export function operationRoutes(app: FastifyInstance, operated: Operated): void {
  app.route({
    method: 'GET',
    url: '/healthz',
    schema: {
      operationId: 'healthz',
      tags: ['Operation'],
      summary: 'The process is alive',
      response: { 200: json('It is.', STATE_SCHEMA) },
    },
    handler: (_request, reply) => reply.send({ status: 'ok' }),
  });

  app.route({
    method: 'GET',
    url: '/readyz',
    schema: {
      operationId: 'readyz',
      tags: ['Operation'],
      summary: `The ${operated.what} serves requests`,
      response: { 200: json('It does.', STATE_SCHEMA), ...problems('not-ready') },
    },
    handler: async (_request, reply) => {
      if (!(await operated.isReady())) throw new HoldfastError(operated.what === 'node' ? NOT_READY : HUB_NOT_READY);
      return reply.send({ status: 'ready' });
    },
  });

  app.route({
    method: 'GET',
    url: '/metrics',
    schema: {
      operationId: 'metrics',
      tags: ['Operation'],
      summary: 'Metrics for Prometheus',
      response: { 200: TEXT('Prometheus text format.', 'text/plain'), ...problems() },
    },
    handler: async (_request, reply) => {
      const text = await operated.metrics();
      return reply.type('text/plain; version=0.0.4; charset=utf-8').send(text);
    },
  });
}
