import type { FastifyInstance } from 'fastify';
import { type ApiDocument, docsPage } from './docs-page.ts';
import { TEXT } from './openapi.ts';

const DOCS_POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** `/openapi.json` and `/docs`. Both are made once, when the API is complete. */
export function descriptionRoutes(app: FastifyInstance): void {
  let openapi = '';
  let docs = '';
  app.addHook('onReady', (done) => {
    const document = app.swagger();
    openapi = JSON.stringify(document);
    docs = docsPage(document as unknown as ApiDocument);
    done();
  });

  app.route({
    method: 'GET',
    url: '/openapi.json',
    schema: {
      operationId: 'openapi',
      tags: ['Operation'],
      summary: 'This description, for programs',
      response: { 200: { description: 'OpenAPI 3.1.', type: 'object' } },
    },
    handler: (_request, reply) => reply.type('application/json; charset=utf-8').send(openapi),
  });

  app.route({
    method: 'GET',
    url: '/docs',
    schema: {
      operationId: 'docs',
      tags: ['Operation'],
      summary: 'This description, for people',
      response: { 200: TEXT('A page without scripts or external files.', 'text/html') },
    },
    handler: (_request, reply) =>
      reply.type('text/html; charset=utf-8').header('content-security-policy', DOCS_POLICY).send(docs),
  });
}
