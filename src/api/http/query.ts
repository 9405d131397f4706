import { failure, HoldfastError } from '../../lib/failure.ts';
import type { Level } from '../../ports/node-handle.ts';
import { KEY_BYTES_MAX } from './limits.ts';
import { rawQuery } from './target.ts';

const LEVELS: readonly Level[] = ['one', 'quorum', 'all'];
const QUERY_CHARACTERS_MAX = 8192;

/** One query parameter: how it reads, and how the API's description shows it. */
interface Parameter<T> {
  readonly schema: Readonly<Record<string, unknown>>;
  readonly fallback: T;
  /** Undefined for text that is no valid value. */
  parse(text: string): T | undefined;
  /** Completes "… must be". */
  readonly expects: string;
}

type Values<P> = { readonly [K in keyof P]: P[K] extends Parameter<infer T> ? T : never };

/** Where a request about an eventual bucket says nothing of a level. */
export const DEFAULT_LEVEL: Level = 'quorum';

/** An absent one reads as null: requests about strong buckets must not have any. */
export function levelParameter(description: string): Parameter<Level | null> {
  return {
    schema: { type: 'string', enum: LEVELS, default: DEFAULT_LEVEL, description },
    fallback: null,
    parse: (text) => LEVELS.find((level) => level === text),
    expects: LEVELS.join(', '),
  };
}

/** A decimal integer; an absent one reads as `fallback`. */
export function integerParameter<F extends number | null>(
  bounds: { readonly min: number; readonly max: number; readonly fallback: F },
  description: string,
): Parameter<number | F> {
  const { min, max, fallback } = bounds;
  return {
    schema: {
      type: 'integer',
      minimum: min,
      maximum: max,
      ...(fallback === null ? {} : { default: fallback }),
      description,
    },
    fallback,
    parse: (text) => {
      const value = /^[0-9]{1,15}$/.test(text) ? Number(text) : Number.NaN;
      return value >= min && value <= max ? value : undefined;
    },
    expects: `an integer from ${min} to ${max}`,
  };
}

export function switchParameter(fallback: boolean, description: string): Parameter<boolean> {
  return {
    schema: { type: 'boolean', default: fallback, description },
    fallback,
    parse: (text) => (text === 'true' ? true : text === 'false' ? false : undefined),
    expects: 'true or false',
  };
}

/** Text that is a key or the beginning of one. */
export function keyParameter(description: string): Parameter<string> {
  return {
    schema: { type: 'string', default: '', description },
    fallback: '',
    parse: (text) => (text.isWellFormed() && Buffer.byteLength(text) <= KEY_BYTES_MAX ? text : undefined),
    expects: `at most ${KEY_BYTES_MAX} bytes`,
  };
}

/** Reads the query of one route strictly: unknown and repeated parameters are refused, so that typing errors show. */
export class QueryReader<P extends Readonly<Record<string, Parameter<unknown>>>> {
  /** JSON schema for the API's description. */
  readonly schema: Readonly<Record<string, unknown>>;
  private readonly parameters: P;
  private readonly fallbacks: Values<P>;

  constructor(parameters: P) {
    this.parameters = parameters;
    const entries = Object.entries(parameters);
    this.fallbacks = Object.fromEntries(entries.map(([name, parameter]) => [name, parameter.fallback])) as Values<P>;
    this.schema = {
      type: 'object',
      properties: Object.fromEntries(entries.map(([name, parameter]) => [name, parameter.schema])),
    };
  }

  /** Throws `bad-request`. */
  read(url: string): Values<P> {
    const query = rawQuery(url);
    if (query === '') return this.fallbacks;
    if (query.length > QUERY_CHARACTERS_MAX)
      throw refusal(`the query is longer than ${QUERY_CHARACTERS_MAX} characters`);
    const values: Record<string, unknown> = { ...this.fallbacks };
    const seen = new Set<string>();
    for (const pair of query.split('&')) {
      if (pair === '') continue;
      const equals = pair.indexOf('=');
      const name = decode(equals < 0 ? pair : pair.slice(0, equals));
      const text = equals < 0 ? '' : decode(pair.slice(equals + 1));
      const parameter = Object.hasOwn(this.parameters, name) ? this.parameters[name] : undefined;
      if (parameter === undefined) throw refusal(`there is no parameter ${shown(name)} here: ${this.listing()}`);
      if (seen.has(name)) throw refusal(`the parameter ${name} is given twice`);
      seen.add(name);
      const value = parameter.parse(text);
      if (value === undefined) throw refusal(`${name} is ${shown(text)}, but must be ${parameter.expects}`);
      values[name] = value;
    }
    return values as Values<P>;
  }

  private listing(): string {
    const names = Object.keys(this.parameters);
    return names.length === 0 ? 'this route takes none' : `this route takes ${names.join(', ')}`;
  }
}

/** For routes that take no parameters. */
export const NO_QUERY = new QueryReader({});

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    throw refusal('the query is not valid percent-encoded UTF-8');
  }
}

function shown(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}

function refusal(message: string): HoldfastError {
  return new HoldfastError(failure('bad-request', message));
}
