import { z } from 'zod';
import { SiteToken } from '../lib/site-token.ts';
import { ZONE_NAME_OR_NONE } from '../lib/zone-name.ts';
import { checkListenAddress, checkSeedAddress, parseHostPort } from './address.ts';
import { DatabaseUrl } from './database-url.ts';
import { type ConfigKey, parseBytes } from './keys.ts';
import { describeBadSecret, Secret } from './secret.ts';

const SEEDS_MAX = 64;
const LISTEN_MAX = 16;
const LABELS_MAX = 32;
const SHOWN_CHARACTERS_MAX = 60;

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const LABEL_KEY = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$/;
const LABEL_VALUE = /^[^\u0000-\u001f\u007f]{0,63}$/u;

/** A value as an error message quotes it. */
function shown(value: unknown): string {
  let text: string;
  try {
    text = JSON.stringify(value) ?? String(value);
  } catch {
    text = String(value);
  }
  return text.length > SHOWN_CHARACTERS_MAX ? `${text.slice(0, SHOWN_CHARACTERS_MAX)}…` : text;
}

const notThat = (issue: { input?: unknown }): string => `${shown(issue.input)} is not valid`;

const text = z.string({ error: (issue) => `${shown(issue.input)} is not text` });

const name = text.regex(NAME, { error: notThat });

const zone = z.string({ error: notThat }).regex(ZONE_NAME_OR_NONE, { error: notThat });

const path = text.min(1, { error: 'the path is empty' }).refine((value) => !value.includes('\0'), {
  error: 'the path contains a NUL character',
});

const secret = z.string({ error: 'the secret is not text' }).transform((value, context): Secret => {
  const parsed = Secret.parse(value);
  if (parsed !== undefined) return parsed;
  context.addIssue({ code: 'custom', message: describeBadSecret(value) });
  return z.NEVER;
});

const siteToken = z.string({ error: 'the token is not text' }).transform((value, context): SiteToken => {
  const parsed = SiteToken.parse(value);
  if (parsed instanceof SiteToken) return parsed;
  context.addIssue({ code: 'custom', message: parsed.problem });
  return z.NEVER;
});

// The message repeats nothing: there may be a password in it.
const database = z.string({ error: 'the URL is not text' }).transform((value, context): DatabaseUrl => {
  const parsed = DatabaseUrl.parse(value);
  if (parsed !== undefined) return parsed;
  context.addIssue({ code: 'custom', message: 'this is not the URL of a PostgreSQL database' });
  return z.NEVER;
});

const onOff = z.union([z.boolean(), z.enum(['on', 'off', 'true', 'false'])], { error: notThat }).transform((value) => {
  return value === true || value === 'on' || value === 'true';
});

const hostPort = text.transform((value, context) => {
  const parsed = parseHostPort(value);
  if (parsed !== undefined) return parsed;
  context.addIssue({ code: 'custom', message: notThat({ input: value }) });
  return z.NEVER;
});

/** YAML 1.1 habits and `false` both mean off. */
const hostPortOrOff = z.union(
  [z.literal('off').transform(() => null), z.literal(false).transform(() => null), hostPort],
  {
    error: notThat,
  },
);

function address(check: (text: string) => string | undefined): z.ZodType<string> {
  return text.transform((value, context) => {
    const wrong = check(value);
    if (wrong === undefined) return value;
    context.addIssue({ code: 'custom', message: `${shown(value)} ${wrong}` });
    return z.NEVER;
  });
}

function addresses(check: (text: string) => string | undefined, min: number, max: number): z.ZodType<string[]> {
  const item = address(check);
  return z.array(item, { error: (issue) => `${shown(issue.input)} is not a list` }).transform((list, context) => {
    const refuse = (message: string): void => context.addIssue({ code: 'custom', message });
    if (list.length < min) refuse('the list is empty');
    if (list.length > max) refuse(`${list.length} addresses are more than ${max}`);
    return [...new Set(list)];
  });
}

type AddIssue = (message: string, label?: string) => void;

/** `KEY=VALUE` texts, as flags and the variable give labels, as a map. */
function labelsOfList(list: readonly unknown[], refuse: AddIssue): Map<string, unknown> {
  const map = new Map<string, unknown>();
  for (const item of list) {
    const at = typeof item === 'string' ? item.indexOf('=') : -1;
    if (typeof item !== 'string' || at < 0) {
      refuse(`${shown(item)} is not KEY=VALUE`);
      continue;
    }
    const key = item.slice(0, at);
    if (map.has(key)) refuse(`label ${shown(key)} is given twice`);
    map.set(key, item.slice(at + 1));
  }
  return map;
}

const labels = z
  .union([z.array(z.unknown()), z.record(z.string(), z.unknown())], {
    error: (issue) => `${shown(issue.input)} is not a map of labels`,
  })
  .transform((input, context): Record<string, string> => {
    const refuse: AddIssue = (message, label) =>
      context.addIssue({ code: 'custom', message, path: label === undefined ? [] : [label] });
    const map = Array.isArray(input) ? labelsOfList(input, refuse) : new Map(Object.entries(input));
    if (map.size > LABELS_MAX) refuse(`${map.size} labels are more than ${LABELS_MAX}`);
    for (const [key, value] of map) {
      if (!LABEL_KEY.test(key)) refuse(`${shown(key)} is not a valid label key`, key);
      else if (typeof value !== 'string') refuse(`the value ${shown(value)} is not text: quote it`, key);
      else if (!LABEL_VALUE.test(value)) refuse('the value is too long or has control characters', key);
    }
    return Object.fromEntries([...map].sort(([a], [b]) => (a < b ? -1 : 1))) as Record<string, string>;
  });

function quantity(key: ConfigKey): z.ZodType<number> {
  const { min = 0, max = Number.MAX_SAFE_INTEGER, orZero = false } = key;
  const read = (value: unknown): unknown => {
    if (typeof value !== 'string') return value;
    if (key.type === 'bytes') return parseBytes(value) ?? value;
    return /^\d{1,15}(\.\d{1,9})?$/.test(value.trim()) ? Number(value) : value;
  };
  const base = key.type === 'number' ? z.number({ error: notThat }) : z.int({ error: notThat });
  return z.preprocess(
    read,
    base
      .refine((value) => value >= min || (orZero && value === 0), {
        error: (issue) => `${shown(issue.input)} is below the smallest value`,
      })
      .max(max, { error: (issue) => `${shown(issue.input)} is above the largest value` }),
  );
}

const SCHEMAS: ReadonlyMap<string, z.ZodType> = new Map<string, z.ZodType>([
  ['dataDir', path],
  ['name', name],
  ['zone', zone],
  ['labels', labels],
  ['secret', secret],
  ['secretFile', path],
  ['listen', addresses(checkListenAddress, 1, LISTEN_MAX)],
  ['announce', addresses(checkSeedAddress, 0, LISTEN_MAX)],
  ['seeds', addresses(checkSeedAddress, 0, SEEDS_MAX)],
  ['hub', address(checkSeedAddress)],
  ['hubToken', siteToken],
  ['hubTokenFile', path],
  ['database', database],
  ['mdns', onOff],
  ['http', hostPort],
  ['resp', hostPortOrOff],
]);

/** The schema of one key: takes the value as written in a file, a flag or a variable. */
export function schemaOf(key: ConfigKey): z.ZodType {
  if (key.type === 'integer' || key.type === 'number' || key.type === 'bytes') return quantity(key);
  if (key.type === 'choice') return z.enum(key.choices as [string, ...string[]], { error: notThat });
  const schema = SCHEMAS.get(key.key);
  if (schema === undefined) throw new Error(`no schema for key ${key.key}`);
  return schema;
}
