import { resolve } from 'node:path';
import { SiteToken } from '../lib/site-token.ts';
import { isLoopback } from './address.ts';
import { DatabaseUrl } from './database-url.ts';
import {
  type ConfigFlags,
  checkVariableNames,
  type Environment,
  settingsOfEnvironment,
  settingsOfFlags,
} from './environment.ts';
import type { HubConfig } from './hub-config.ts';
import { HUB_TABLE } from './hub-keys.ts';
import { CONFIG_FILE_VARIABLE, type ConfigKey, type ConfigTable, NODE_TABLE } from './keys.ts';
import type { NodeConfig } from './node-config.ts';
import type { ConfigProblem } from './problem.ts';
import { checkRelations } from './relations.ts';
import { schemaOf } from './schema.ts';
import { describeBadSecret, redact, Secret } from './secret.ts';
import { type ConfigSource, type ConfigSources, type Setting, sourceText } from './source.ts';
import { readConfigFile } from './yaml-file.ts';

/** A file's text and its permission bits. */
export interface FileContent {
  readonly text: string;
  readonly mode: number;
}

export interface ConfigInput {
  readonly flags: ConfigFlags;
  readonly env: Environment;
  /** Absolute; relative paths of flags and variables start here. Those of the file start at its folder. */
  readonly cwd: string;
  /** Throws an error with a `code` (ENOENT, EACCES, …) as node:fs does. */
  readonly readFile: (path: string) => FileContent;
  /** Default of `name`. */
  readonly hostName: string;
  /** Decides the default of `logFormat`. */
  readonly isTTY: boolean;
}

export type ConfigResult<C = NodeConfig> =
  | {
      readonly ok: true;
      readonly config: C;
      readonly sources: ConfigSources;
      readonly warnings: readonly string[];
      /** The configuration file that was read. */
      readonly file: string | null;
    }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

const WORLD_READABLE = 0o004;

/** A key that takes a secret, and the one that names a file with it. */
interface SecretPair {
  readonly key: string;
  readonly fileKey: string;
  /** For messages. */
  readonly what: string;
  /** Of a text that is none: what is wrong with it, without repeating any of it. */
  readonly parse: (text: string) => Secret | SiteToken | { readonly problem: string };
  /** What to put into the file. */
  readonly content: string;
  /** How to come by the file, where there is none. */
  readonly origin: (path: string) => string;
}

const SECRET_PAIRS: readonly SecretPair[] = [
  {
    key: 'secret',
    fileKey: 'secretFile',
    what: 'secret',
    parse: (text) => Secret.parse(text) ?? { problem: describeBadSecret(text) },
    content: 'exactly 64 lower-case hexadecimal digits into it, as printed by `holdfast secret`',
    origin: (path) => `make it with \`(umask 077; holdfast secret > ${path})\`, or copy it from a node of the cluster`,
  },
  {
    key: 'hubToken',
    fileKey: 'hubTokenFile',
    what: 'token',
    parse: (text) => SiteToken.parse(text),
    content: 'the token into it, as printed by `holdfast site add`',
    origin: (path) => `make it with \`(umask 077; holdfast site add NAME > ${path})\`, or copy it from another node`,
  },
];

/** Keys whose values are none of other users' business. */
const CONFIDENTIAL: ReadonlyMap<string, string> = new Map([
  ['secret', 'secret'],
  ['hubToken', 'token'],
  ['database', 'password of the database'],
]);

/**
 * Merges flags > environment > file > defaults into one frozen configuration of a node, or names everything wrong with
 * them.
 */
export function loadConfig(input: ConfigInput): ConfigResult {
  return new ConfigLoading<NodeConfig>(NODE_TABLE, input).load();
}

/** The same of a hub. */
export function loadHubConfig(input: ConfigInput): ConfigResult<HubConfig> {
  return new ConfigLoading<HubConfig>(HUB_TABLE, input).load();
}

/** `C`: what the table's keys make up. */
class ConfigLoading<C> {
  private readonly table: ConfigTable;
  private readonly input: ConfigInput;
  private readonly problems: ConfigProblem[] = [];
  private readonly warnings: string[] = [];
  private readonly settings = new Map<string, Setting>();
  private readonly values = new Map<string, unknown>();
  private file: string | null = null;

  constructor(table: ConfigTable, input: ConfigInput) {
    this.table = table;
    this.input = input;
  }

  load(): ConfigResult<C> {
    const names = checkVariableNames(this.input.env);
    this.problems.push(...names.problems);
    this.warnings.push(...names.warnings);
    const { env, flags } = this.input;
    const { table } = this;
    const sources = [this.fileSettings(), settingsOfEnvironment(table, env), settingsOfFlags(table, flags)];
    for (const source of sources) this.merge(source);
    for (const key of table.keys) this.validate(key);
    this.resolvePaths();
    for (const pair of SECRET_PAIRS) this.readSecretFile(pair);
    this.problems.push(...checkRelations(this.values, (key) => this.sourceOf(key)));
    if (this.problems.length > 0) return { ok: false, problems: this.problems };
    this.warnOfExposure();
    const sourceEntries = table.keys.map((key) => [key.key, this.sourceOf(key.key)] as const);
    return {
      ok: true,
      config: assembleConfig(table, this.values) as C,
      sources: new Map(sourceEntries),
      warnings: this.warnings,
      file: this.file,
    };
  }

  /** A later, stronger source replaces a value whole; `secret` and `secretFile` and their like also replace each other. */
  private merge(stronger: ReadonlyMap<string, Setting>): void {
    for (const { key, fileKey, what } of SECRET_PAIRS) {
      const secret = stronger.get(key);
      const secretFile = stronger.get(fileKey);
      if (secret !== undefined && secretFile !== undefined) {
        const cause = `${sourceText(secretFile.source)} gives the ${what} too`;
        this.problems.push({ source: sourceText(secret.source), cause, fix: 'remove one of the two' });
      }
      if (secret !== undefined) this.settings.delete(fileKey);
      if (secretFile !== undefined) this.settings.delete(key);
    }
    for (const [key, setting] of stronger) this.settings.set(key, setting);
  }

  private sourceOf(key: string): ConfigSource {
    const fileKey = SECRET_PAIRS.find((pair) => pair.key === key)?.fileKey;
    const setting = this.settings.get(key) ?? (fileKey === undefined ? undefined : this.settings.get(fileKey));
    return setting?.source ?? { kind: 'default' };
  }

  private fileSettings(): ReadonlyMap<string, Setting> {
    const { flags, env, cwd } = this.input;
    const named = typeof flags.config === 'string' ? flags.config : env[CONFIG_FILE_VARIABLE] || undefined;
    const shownName = named ?? this.table.file;
    const path = resolve(cwd, shownName);
    let content: FileContent;
    try {
      content = this.input.readFile(path);
    } catch (error) {
      if (named !== undefined || !isAbsent(error)) {
        const source =
          typeof flags.config === 'string' ? '--config' : named === undefined ? shownName : CONFIG_FILE_VARIABLE;
        const cause = `cannot read ${path}: ${reasonText(error)}`;
        this.problems.push({ source, cause, fix: 'name a file that this user can read' });
      }
      return new Map();
    }
    this.file = path;
    const { settings, problems } = readConfigFile(this.table, content.text, shownName);
    this.problems.push(...problems);
    const held = [...CONFIDENTIAL].find(([key]) => isConfidential(key, settings.get(key)));
    if (held !== undefined && (content.mode & WORLD_READABLE) !== 0) this.warnReadable(shownName, held[1]);
    return settings;
  }

  private warnReadable(file: string, what: string): void {
    this.warnings.push(`${file}: holds the ${what} and every user of this machine can read it; run chmod 600 ${file}`);
  }

  private validate(key: ConfigKey): void {
    const setting = this.settings.get(key.key);
    const value = setting === undefined ? this.defaultOf(key) : setting.value;
    if (value === null) {
      this.values.set(key.key, null);
      return;
    }
    const parsed = schemaOf(key).safeParse(value);
    if (parsed.success) {
      this.values.set(key.key, parsed.data);
      return;
    }
    for (const issue of parsed.error.issues) {
      const item = issue.path[0];
      const source = itemSource(setting, item === undefined ? undefined : String(item));
      this.problems.push({ source, cause: redact(issue.message), fix: `use ${key.expects}` });
    }
  }

  /** As a source would give it; null where nothing is the default. */
  private defaultOf(key: ConfigKey): unknown {
    switch (key.key) {
      case 'name':
        return nameOfHost(this.input.hostName);
      case 'logFormat':
        return this.input.isTTY ? 'pretty' : 'json';
      case 'zone':
        return '';
      default:
        if (key.type === 'list' || key.type === 'map') return key.default === '' ? [] : [key.default];
        return key.default === '' ? null : key.default;
    }
  }

  private resolvePaths(): void {
    for (const { key } of this.table.keys.filter(({ type }) => type === 'path')) {
      const value = this.values.get(key);
      if (typeof value !== 'string') continue;
      const fromFile = this.sourceOf(key).kind === 'file' && this.file !== null;
      this.values.set(key, fromFile ? resolve(this.file as string, '..', value) : resolve(this.input.cwd, value));
    }
  }

  private readSecretFile({ key, fileKey, what, parse, content: expected, origin }: SecretPair): void {
    const path = this.values.get(fileKey);
    if (typeof path !== 'string') return;
    const source = sourceText(this.sourceOf(fileKey));
    let content: FileContent;
    try {
      content = this.input.readFile(path);
    } catch (error) {
      this.problems.push({ source, cause: `cannot read ${path}: ${reasonText(error)}`, fix: origin(path) });
      return;
    }
    const secret = parse(content.text.trim());
    if ('problem' in secret) {
      this.problems.push({ source, cause: `${secret.problem} in ${path}`, fix: `put ${expected}` });
      return;
    }
    this.values.set(key, secret);
    if ((content.mode & WORLD_READABLE) !== 0) this.warnReadable(path, what);
  }

  private warnOfExposure(): void {
    for (const { key, variable } of this.table.keys) {
      const setting = this.settings.get(key);
      if (setting?.source.kind !== 'flag' || !isConfidential(key, setting)) continue;
      const { flag } = setting.source;
      const other = SECRET_PAIRS.some((pair) => pair.key === key) ? `${flag}-file` : variable;
      this.warnings.push(`${flag}: other users can see it in the list of processes; prefer ${other}`);
    }
    for (const { key } of this.table.keys.filter(({ type }) => type === 'hostPort')) {
      const address = this.values.get(key) as { host: string } | null;
      if (address !== null && !isLoopback(address.host)) {
        this.warnings.push(
          `${sourceText(this.sourceOf(key))}: anyone who can reach ${address.host} can read and write all data; there are no user accounts`,
        );
      }
    }
  }
}

/** True of a value that other users must not see. A database may need no password. */
function isConfidential(key: string, setting: Setting | undefined): boolean {
  if (setting === undefined || !CONFIDENTIAL.has(key)) return false;
  return key !== 'database' || DatabaseUrl.parse(String(setting.value))?.hasPassword === true;
}

function itemSource(setting: Setting | undefined, item: string | undefined): string {
  if (setting === undefined) return 'default';
  const { source, itemLines } = setting;
  if (source.kind !== 'file' || item === undefined) return sourceText(source);
  const key = /^\d+$/.test(item) ? `${source.key}[${item}]` : `${source.key}.${item}`;
  return sourceText({ ...source, line: itemLines?.get(item) ?? source.line, key: redact(key) });
}

/** A host name is nearly always a valid node name; what is not is replaced. */
function nameOfHost(hostName: string): string {
  const name = hostName
    .replace(/[^A-Za-z0-9._-]/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 64);
  return name === '' ? 'node' : name;
}

function isAbsent(error: unknown): boolean {
  return (error as { code?: unknown } | null)?.code === 'ENOENT';
}

const REASONS: ReadonlyMap<unknown, string> = new Map([
  ['ENOENT', 'no such file'],
  ['EACCES', 'permission denied'],
  ['EISDIR', 'it is a directory'],
  ['ENOTDIR', 'a part of the path is not a directory'],
]);

function reasonText(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return REASONS.get(code) ?? (error instanceof Error ? error.message : String(error));
}

/** Every key of the table has a valid value here: the schemas have made them. */
function assembleConfig({ keys }: ConfigTable, values: ReadonlyMap<string, unknown>): unknown {
  const config: Record<string, unknown> = {};
  const tuning: Record<string, unknown> = {};
  for (const { key } of keys) {
    if (key.startsWith('tuning.')) tuning[key.slice('tuning.'.length)] = values.get(key);
    else config[key] = freeze(values.get(key));
  }
  if (Object.keys(tuning).length > 0) config.tuning = Object.freeze(tuning);
  return Object.freeze(config);
}

function freeze(value: unknown): unknown {
  return typeof value === 'object' && value !== null ? Object.freeze(value) : value;
}
