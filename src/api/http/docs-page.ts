import { FAILURE_CODES, type FailureCode } from '../../lib/failure.ts';
import { DOCS_STYLE } from './docs-style.ts';
import { titleOf } from './problem.ts';

interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly format?: string;
  readonly contentEncoding?: string;
  readonly items?: JsonSchema;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly oneOf?: readonly JsonSchema[];
  readonly anyOf?: readonly JsonSchema[];
}

type Content = Readonly<Record<string, { readonly schema?: JsonSchema }>>;

interface Operation {
  readonly operationId: string;
  readonly tags?: readonly string[];
  readonly summary?: string;
  readonly description?: string;
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: string;
    readonly required?: boolean;
    readonly description?: string;
    readonly schema?: JsonSchema;
  }[];
  readonly requestBody?: { readonly content: Content };
  readonly responses?: Readonly<
    Record<
      string,
      {
        readonly description: string;
        readonly headers?: Readonly<Record<string, { readonly description?: string; readonly schema?: JsonSchema }>>;
        readonly content?: Content;
      }
    >
  >;
}

/** The parts of an OpenAPI document that the page shows. */
export interface ApiDocument {
  readonly info: { readonly title: string; readonly version: string; readonly description?: string };
  readonly tags?: readonly { readonly name: string; readonly description?: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

interface Route {
  readonly method: string;
  readonly path: string;
  readonly operation: Operation;
}

/** The API's description as one page of HTML: no scripts, nothing to download. */
export function docsPage(document: ApiDocument): string {
  const { info, tags = [] } = document;
  const routes = Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]): Route => ({ method: method.toUpperCase(), path, operation })),
  );
  const groups = tags.map((tag) => ({
    ...tag,
    routes: routes.filter(({ operation }) => operation.tags?.includes(tag.name) === true),
  }));
  const title = `${info.title} ${info.version} HTTP API`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escape(title)}</title>
<style>${DOCS_STYLE}</style>
</head>
<body>
<nav aria-label="Contents">
<p class="brand">${escape(info.title)} <small>${escape(info.version)}</small></p>
${groups.map((group) => navigation(group.name, group.routes)).join('\n')}
<h2><a href="#errors">Errors</a></h2>
</nav>
<main>
<h1>${escape(info.title)} <small>HTTP API</small></h1>
<p class="lead">${prose(info.description ?? '')}</p>
<p>For programs: <a href="/openapi.json">openapi.json</a></p>
${groups.map((group) => `<section><h2>${escape(group.name)}</h2>\n<p>${prose(group.description ?? '')}</p>\n${group.routes.map(routeArticle).join('\n')}</section>`).join('\n')}
${errorSection()}
</main>
</body>
</html>
`;
}

function navigation(name: string, routes: readonly Route[]): string {
  const items = routes.map(
    ({ method, path, operation }) =>
      `<li><a href="#${escape(operation.operationId)}" title="${escape(operation.summary ?? '')}">${badge(method)}<span>${breakable(path)}</span></a></li>`,
  );
  return `<h2>${escape(name)}</h2>\n<ul>${items.join('')}</ul>`;
}

function routeArticle({ method, path, operation }: Route): string {
  const { parameters = [], requestBody, responses = {} } = operation;
  const parts = [
    `<h3>${badge(method)}<code>${breakable(path)}</code></h3>`,
    `<p class="summary">${prose(operation.summary ?? '')}</p>`,
    operation.description === undefined ? '' : `<p>${prose(operation.description)}</p>`,
    parameters.length === 0 ? '' : table('Parameters', parameters.map(parameterRow)),
    requestBody === undefined ? '' : `<h4>Body</h4>${contentBlock(requestBody.content)}`,
    table(
      'Answers',
      Object.entries(responses).map(([status, response]) => responseRow(status, response)),
    ),
  ];
  return `<article id="${escape(operation.operationId)}">\n${parts.filter((part) => part !== '').join('\n')}\n</article>`;
}

function parameterRow(parameter: NonNullable<Operation['parameters']>[number]): string {
  const { name, schema = {}, required } = parameter;
  const description = parameter.description ?? schema.description ?? '';
  const where = `${parameter.in}${required === true ? ', required' : ''}`;
  return `<tr><th scope="row"><code>${escape(name)}</code><small>${where}</small></th><td>${prose(description)}<small>${escape(constraints(schema))}</small></td></tr>`;
}

function responseRow(status: string, response: NonNullable<Operation['responses']>[string]): string {
  const { description, headers = {}, content } = response;
  const isProblem = content !== undefined && 'application/problem+json' in content;
  const names = Object.entries(headers).map(
    ([name, header]) =>
      `<li><code>${escape(name)}</code> ${prose(header.description ?? header.schema?.description ?? '')}</li>`,
  );
  return [
    `<tr><th scope="row"><span class="status s${escape(status.charAt(0))}">${escape(status)}</span></th><td>${isProblem ? linkCodes(description) : prose(description)}`,
    names.length === 0 ? '' : `<ul class="headers">${names.join('')}</ul>`,
    content === undefined || isProblem ? '' : contentBlock(content),
    '</td></tr>',
  ].join('');
}

function contentBlock(content: Content): string {
  return Object.entries(content)
    .map(([mediaType, { schema = {} }]) => {
      const shape = shapeOf(schema, 0);
      // A bare string adds nothing to the media type.
      const detail = shape === 'string' ? '' : `<details><summary>Shape</summary><pre>${escape(shape)}</pre></details>`;
      return `<div class="content"><code class="media">${escape(mediaType)}</code>${detail}</div>`;
    })
    .join('');
}

/** A schema as people write shapes down. */
function shapeOf(schema: JsonSchema, depth: number): string {
  const alternatives = schema.oneOf ?? schema.anyOf;
  if (alternatives !== undefined) return alternatives.map((item) => shapeOf(item, depth)).join(' | ');
  if (schema.enum !== undefined) return schema.enum.map((value) => JSON.stringify(value)).join(' | ');
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.items !== undefined) return `[ ${shapeOf(schema.items, depth)}, … ]`;
  if (schema.properties !== undefined) {
    const indent = '  '.repeat(depth + 1);
    const lines = Object.entries(schema.properties).map(
      ([name, property]) => `${indent}"${name}": ${shapeOf(property, depth + 1)}`,
    );
    return `{\n${lines.join(',\n')}\n${'  '.repeat(depth)}}${nullSuffix(schema)}`;
  }
  const type = [schema.type ?? 'any'].flat().join(' | ');
  const detail = schema.contentEncoding ?? schema.format;
  return detail === undefined || detail === 'binary' ? type : `${type} (${detail})`;
}

function nullSuffix(schema: JsonSchema): string {
  return [schema.type].flat().includes('null') ? ' | null' : '';
}

function constraints(schema: JsonSchema): string {
  const parts: string[] = [];
  if (schema.enum !== undefined) parts.push(schema.enum.join(' | '));
  else if (schema.minimum !== undefined && schema.maximum !== undefined)
    parts.push(`${schema.minimum} to ${schema.maximum}`);
  else if (schema.type !== undefined && schema.type !== 'string') parts.push([schema.type].flat().join(' | '));
  if (schema.default !== undefined && schema.default !== '')
    parts.push(`default ${typeof schema.default === 'string' ? schema.default : JSON.stringify(schema.default)}`);
  return parts.join(', ');
}

function errorSection(): string {
  const rows = Object.entries(FAILURE_CODES).map(
    ([code, status]) =>
      `<tr id="${code}"><th scope="row"><span class="status s${String(status).charAt(0)}">${status}</span></th><td><code>${code}</code> ${titleOf(code as FailureCode)}</td></tr>`,
  );
  return `<section id="errors"><h2>Errors</h2>
<p>${prose('Every error is a problem document (RFC 9457) of type `application/problem+json` with a stable `code`.')}</p>
${table('Codes', rows)}</section>`;
}

function table(heading: string, rows: readonly string[]): string {
  return `<h4>${heading}</h4><table>${rows.join('')}</table>`;
}

function badge(method: string): string {
  return `<span class="method ${method.toLowerCase()}">${method}</span>`;
}

function linkCodes(description: string): string {
  return escape(description).replace(/`([a-z-]+)`/g, '<a href="#$1"><code>$1</code></a>');
}

/** Descriptions are plain text with code between backticks. */
function prose(text: string): string {
  return escape(text).replace(/`([^`]+)`/g, '<code>$1</code>');
}

function breakable(path: string): string {
  return escape(path)
    .replaceAll('/', '/<wbr>')
    .replace(/\{[a-z]+\}/gi, '<var>$&</var>');
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
