import { beforeEach, describe, expect, it } from 'vitest';
import { FAILURE_CODES } from '../../../../src/lib/failure.ts';
import { EventReader, type Harness, startHarness } from './harness.ts';

/** The routes of the interface that exist so far. */
const ROUTES = [
  'GET /docs',
  'GET /healthz',
  'GET /metrics',
  'GET /openapi.json',
  'GET /readyz',
  'GET /v1/buckets',
  'PUT /v1/buckets',
  'GET /v1/buckets/{bucket}',
  'PUT /v1/buckets/{bucket}',
  'GET /v1/conflicts',
  'GET /v1/events',
  'GET /v1/hub',
  'GET /v1/islands',
  'GET /v1/kv/{bucket}',
  'POST /v1/kv/{bucket}',
  'DELETE /v1/kv/{bucket}/{key}',
  'GET /v1/kv/{bucket}/{key}',
  'PUT /v1/kv/{bucket}/{key}',
  'POST /v1/kv/{bucket}/{key}/add',
  'POST /v1/kv/{bucket}/{key}/fields',
  'POST /v1/kv/{bucket}/{key}/increment',
  'POST /v1/kv/{bucket}/{key}/remove',
  'GET /v1/leader',
  'POST /v1/leader/fence',
  'GET /v1/locks/{name}',
  'POST /v1/locks/{name}',
  'POST /v1/locks/{name}/release',
  'POST /v1/locks/{name}/renew',
  'GET /v1/members',
  'GET /v1/ring',
  'GET /v1/ring/locate',
  'DELETE /v1/ring/members/{member}',
  'POST /v1/ring/members/{member}',
  'POST /v1/ring/refound',
  'GET /v1/status',
  'GET /v1/watch/{bucket}',
];

interface Schema {
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly enum?: readonly unknown[];
}

interface Operation {
  readonly operationId: string;
  readonly parameters?: readonly { readonly name: string; readonly in: string }[];
  readonly responses: Readonly<
    Record<string, { readonly content?: Readonly<Record<string, { readonly schema: Schema }>> }>
  >;
}

interface Document {
  readonly openapi: string;
  readonly info: { readonly version: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

let h: Harness;
let document: Document;

beforeEach(async () => {
  h = await startHarness();
  document = (await (await h.fetch('/openapi.json')).json()) as Document;
});

const operations = (): { route: string; method: string; path: string; operation: Operation }[] =>
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([name, operation]) => {
      const method = name.toUpperCase();
      return { route: `${method} ${path}`, method, path, operation };
    }),
  );

/** What is wrong with a value by its schema; a small part of JSON Schema, enough for the answers here. */
function mismatches(schema: Schema, value: unknown, at = ''): string[] {
  const types = schema.type === undefined ? [] : [schema.type].flat();
  const type = value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;
  const isType = types.includes(type) || (type === 'number' && types.includes('integer') && Number.isInteger(value));
  if (types.length > 0 && !isType) return [`${at} is ${type}, not ${types.join(' or ')}`];
  if (schema.enum !== undefined && !schema.enum.includes(value)) return [`${at} is not in the enum`];
  if (Array.isArray(value)) return value.flatMap((item, i) => mismatches(schema.items ?? {}, item, `${at}[${i}]`));
  if (type !== 'object' || schema.properties === undefined) return [];
  const { properties } = schema;
  const members = value as Record<string, unknown>;
  return [
    ...(schema.required ?? []).filter((name) => !(name in members)).map((name) => `${at}.${name} is missing`),
    ...Object.entries(members).flatMap(([name, member]) =>
      name in properties
        ? mismatches(properties[name] as Schema, member, `${at}.${name}`)
        : [`${at}.${name} is not described`],
    ),
  ];
}

describe('openapi.json', () => {
  it('describes the routes of the interface and no others', () => {
    expect(document.openapi).toBe('3.1.0');
    expect(document.info.version).toBe('1.2.3');
    expect(
      operations()
        .map(({ route }) => route)
        .sort(),
    ).toEqual([...ROUTES].sort());
  });

  it('names each operation once', () => {
    const names = operations().map(({ operation }) => operation.operationId);
    expect(new Set(names).size).toBe(names.length);
  });

  it('leads to routes that exist', async () => {
    for (const { route, method, path } of operations()) {
      const target = path.replace('{bucket}', 'default').replace('{key}', 'k');
      const response = await h.fetch(target, { method, ...(method === 'GET' ? {} : { body: '' }) });
      expect([route, response.status === 405]).toEqual([route, false]);
      if (response.headers.get('content-type')?.startsWith('text/event-stream') === true) {
        await new EventReader(response).cancel();
        continue;
      }
      const text = await response.text();
      expect([route, text.includes('"code":"route-not-found"')]).toEqual([route, false]);
    }
  });

  it('agrees with the router on the methods of each path', async () => {
    for (const [path, methods] of Object.entries(document.paths)) {
      const target = path.replace('{bucket}', 'default').replace('{key}', 'k');
      const response = await h.fetch(target, { method: 'PATCH' });
      expect(response.status).toBe(405);
      const allow = (response.headers.get('allow') ?? '').split(', ').filter((method) => method !== 'HEAD');
      const described = Object.keys(methods).map((method) => method.toUpperCase());
      // A key may end in /increment as well.
      const extra = path.includes('{key}/') ? ['DELETE', 'GET', 'PUT'] : [];
      expect([path, allow.sort()]).toEqual([path, [...described, ...extra].sort()]);
    }
  });

  it('has every parameter of a path', () => {
    for (const { route, path, operation } of operations()) {
      const named = (operation.parameters ?? []).filter((parameter) => parameter.in === 'path').map(({ name }) => name);
      expect([route, named]).toEqual([route, [...path.matchAll(/\{([a-z]+)\}/g)].map((match) => match[1])]);
    }
  });

  it.each(['/v1/status', '/v1/members', '/v1/ring', '/v1/buckets', '/v1/buckets/default', '/healthz', '/readyz'])(
    'describes the answer of %s',
    async (path) => {
      const template = path.replace('/default', '/{bucket}');
      const schema = document.paths[template]?.['get']?.responses['200']?.content?.['application/json']?.schema;
      expect(schema).toBeDefined();
      expect(mismatches(schema as Schema, await (await h.fetch(path)).json())).toEqual([]);
    },
  );

  it('describes the answers of the rest', async () => {
    await h.put('/v1/kv/notes/k', 'x');
    h.node.writeConcurrently('notes', 'k', 'y');
    const schemaOf = (path: string, method: string, status: string): Schema => {
      const content = document.paths[path]?.[method]?.responses[status]?.content ?? {};
      return Object.values(content)[0]?.schema as Schema;
    };
    const siblings = await (await h.fetch('/v1/kv/notes/k')).json();
    expect(mismatches(schemaOf('/v1/kv/{bucket}/{key}', 'get', '300'), siblings)).toEqual([]);
    const located = await (await h.fetch('/v1/ring/locate?bucket=default&key=k')).json();
    expect(mismatches(schemaOf('/v1/ring/locate', 'get', '200'), located)).toEqual([]);
    const count = await (await h.fetch('/v1/kv/default/n/increment', { method: 'POST' })).json();
    expect(mismatches(schemaOf('/v1/kv/{bucket}/{key}/increment', 'post', '200'), count)).toEqual([]);
    const locked = await (await h.fetch('/v1/locks/x', { method: 'POST' })).json();
    expect(mismatches(schemaOf('/v1/locks/{name}', 'post', '200'), locked)).toEqual([]);
    for (const name of ['x', 'free']) {
      const shown = await (await h.fetch(`/v1/locks/${name}`)).json();
      expect(mismatches(schemaOf('/v1/locks/{name}', 'get', '200'), shown)).toEqual([]);
    }
    const problem = await (await h.fetch('/v1/kv/nope/k')).json();
    expect(mismatches(schemaOf('/v1/kv/{bucket}/{key}', 'get', '404'), problem)).toEqual([]);
  });
});

describe('docs', () => {
  it('is one page that shows every route and every error, without scripts or other files', async () => {
    const response = await h.fetch('/docs');
    expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(response.headers.get('content-security-policy')).toContain("default-src 'none'");
    const page = await response.text();
    for (const { operation } of operations()) expect(page).toContain(`<article id="${operation.operationId}">`);
    for (const code of Object.keys(FAILURE_CODES)) expect(page).toContain(`<tr id="${code}">`);
    expect(page).not.toMatch(/<script|<link|<img|src=|url\(|@import|http:|https:/i);
    const targets = [...page.matchAll(/href="#([^"]+)"/g)].map((match) => match[1]);
    expect(targets.length).toBeGreaterThan(ROUTES.length);
    for (const target of targets) expect(page).toContain(`id="${target}"`);
    expect(page).not.toContain('undefined');
    expect(page).not.toContain('[object');
  });
});
