import { z } from 'zod';

/** JSON schema, as far as bodies need it. */
interface Shape {
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly contentEncoding?: string;
  readonly pattern?: string;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Shape | boolean;
  readonly items?: Shape;
  readonly anyOf?: readonly Shape[];
  readonly oneOf?: readonly Shape[];
}

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

const SHOWN_CHARACTERS_MAX = 60;

/** What schemas expect, from the same schemas as the API's description. */
const shapes = new WeakMap<z.ZodType, Shape>();

export function shapeOf(schema: z.ZodType): Shape {
  const known = shapes.get(schema);
  if (known !== undefined) return known;
  const shape = z.toJSONSchema(schema, { io: 'input' }) as Shape;
  shapes.set(schema, shape);
  return shape;
}

/** `<field>: <what is wrong>; use <what is expected>`, of the first issue that a document has. */
export function misfitText(issues: readonly Issue[], shape: Shape, document: unknown): string {
  return describe(issues, { shape, value: document, path: [] });
}

/** Completes "use …". */
export function expectationOf(shape: Shape): string {
  if (shape.const !== undefined) return JSON.stringify(shape.const);
  if (shape.enum !== undefined) return alternatives(shape.enum.map((value) => JSON.stringify(value)));
  const branches = branchesOf(shape);
  if (branches.length > 1) return alternatives(branches.map(expectationOf));
  switch (shape.type) {
    case 'integer':
      return `a whole number${rangeText(shape.minimum, shape.maximum)}`;
    case 'number':
      return `a number${rangeText(shape.minimum, shape.maximum)}`;
    case 'boolean':
      return 'true or false';
    case 'string':
      if (shape.contentEncoding !== undefined) return `text in ${shape.contentEncoding}`;
      // No reader of an error should have to read a pattern.
      if (shape.pattern !== undefined && shape.description !== undefined) return shape.description;
      return `text${rangeText(shape.minLength, shape.maxLength, ' characters')}`;
    case 'array':
      return `a list${rangeText(shape.minItems, shape.maxItems, ' items')}`;
    case 'object':
      return objectText(shape);
    default:
      return String(shape.type);
  }
}

/** A place in the document, and what is expected there. */
interface Place {
  readonly shape: Shape;
  readonly value: unknown;
  readonly path: Path;
}

function describe([issue]: readonly Issue[], root: Place): string {
  const place = (issue?.path ?? []).reduce(inside, root);
  const { shape, value, path } = place;
  if (issue?.code === 'invalid_union') {
    // Of several kinds the one that is meant has a field that is there.
    const at = branchesOf(shape).findIndex((branch) => hasFieldOf(branch, value));
    const inner = issue.errors[at];
    const choice = choiceText(shape, value);
    if (choice !== null) return `${nameOf(path)}${choice}`;
    if (inner !== undefined) return describe(inner, { ...place, shape: branchesOf(shape)[at] as Shape });
  }
  if (issue?.code === 'unrecognized_keys') {
    const fields = fieldsOf(shape, value).join(', ');
    return `${nameOf([...path, ...issue.keys.slice(0, 1)])}there is no such field; use ${fields}`;
  }
  if (issue?.code === 'custom') return `${nameOf(path)}${issue.message}`;
  const what = value === undefined ? 'is missing' : `${shown(value)} does not fit`;
  return `${nameOf(path)}${what}; use ${isTooLong(value) ? wholeNumberText(shape) : expectationOf(shape)}`;
}

/** Of objects with one field each a document has to be one: what it says instead of that, null where it does not. */
function choiceText(shape: Shape, value: unknown): string | null {
  const fields = branchesOf(shape).flatMap(({ properties = {} }) => Object.keys(properties));
  const isChoice = branchesOf(shape).every(({ properties = {} }) => Object.keys(properties).length === 1);
  if (!isChoice || typeof value !== 'object' || value === null || Array.isArray(value)) return null;
  const said = fields.filter((field) => Object.hasOwn(value, field));
  if (said.length === 1) return null;
  const what = said.length === 0 ? `none of ${fields.join(', ')} is there` : `${said.join(' and ')} cannot go together`;
  return `${what}; use one of ${fields.join(', ')}`;
}

/** A whole number that JSON readers do not keep exactly. */
function isTooLong(value: unknown): boolean {
  return Number.isInteger(value) && !Number.isSafeInteger(value);
}

function wholeNumberText(shape: Shape): string {
  if (shape.type !== 'integer') return expectationOf(shape);
  const { minimum = Number.MIN_SAFE_INTEGER, maximum = Number.MAX_SAFE_INTEGER } = shape;
  return `a whole number from ${minimum} to ${maximum}`;
}

function inside({ shape, value, path }: Place, step: PropertyKey): Place {
  const name = String(step);
  const found = branchesOf(shape).flatMap((branch) => memberOf(branch, name));
  const [first = {}] = found;
  return { shape: found.length > 1 ? { anyOf: found } : first, value: fieldIn(value, name), path: [...path, step] };
}

function fieldIn(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? Reflect.get(value, name)
    : undefined;
}

function memberOf({ properties = {}, additionalProperties, items }: Shape, name: string): Shape[] {
  if (Object.hasOwn(properties, name)) return [properties[name] as Shape];
  if (typeof additionalProperties === 'object') return [additionalProperties];
  return items === undefined ? [] : [items];
}

function branchesOf(shape: Shape): readonly Shape[] {
  return shape.anyOf ?? shape.oneOf ?? [shape];
}

function hasFieldOf({ properties = {} }: Shape, value: unknown): boolean {
  return (
    typeof value === 'object' && value !== null && Object.keys(properties).some((name) => Object.hasOwn(value, name))
  );
}

/** Fields of the kind of object that the value is. */
function fieldsOf(shape: Shape, value: unknown): string[] {
  const fits = ({ properties = {} }: Shape): boolean =>
    Object.entries(properties).every(
      ([name, member]) => member.const === undefined || member.const === fieldIn(value, name),
    );
  return [
    ...new Set(
      branchesOf(shape)
        .filter(fits)
        .flatMap(({ properties = {} }) => Object.keys(properties)),
    ),
  ];
}

function objectText({ properties = {}, required = [] }: Shape): string {
  const names = Object.keys(properties);
  if (names.length === 0) return 'an object';
  if (names.length === required.length) return `an object with ${names.join(' and ')}`;
  return `an object with fields of ${names.join(', ')}`;
}

function rangeText(min: number | undefined, max: number | undefined, unit = ''): string {
  const from = min === undefined || min === Number.MIN_SAFE_INTEGER ? undefined : min;
  const to = max === undefined || max === Number.MAX_SAFE_INTEGER ? undefined : max;
  if (from !== undefined && to !== undefined) return ` ${unit === '' ? 'from' : 'of'} ${from} to ${to}${unit}`;
  if (to !== undefined) return ` of at most ${to}${unit}`;
  return from === undefined ? '' : ` of at least ${from}${unit}`;
}

function alternatives(texts: readonly string[]): string {
  const different = [...new Set(texts)];
  const last = different.pop() ?? '';
  return different.length === 0 ? last : `${different.join(', ')} or ${last}`;
}

function nameOf(path: Path): string {
  if (path.length === 0) return 'the JSON as a whole: ';
  return `${path.map((step) => shortened(String(step))).join('.')}: `;
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'an object';
  return shortened(JSON.stringify(value));
}

function shortened(text: string): string {
  return text.length > SHOWN_CHARACTERS_MAX ? `${text.slice(0, SHOWN_CHARACTERS_MAX)}…` : text;
}
