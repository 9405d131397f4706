import { resolve } from 'node:path';
import { isLoopback } from './address.ts';
import {
  type ConfigFlags,
  checkVariableNames,
  type Environment,
  settingsOfEnvironment,
  settingsOfFlags,
} from './environment.ts';
import { CONFIG_FILE_VARIABLE, CONFIG_KEYS, type ConfigKey } from './keys.ts';
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

export type ConfigResult =
  | {
      readonly ok: true;
      readonly config: NodeConfig;
      readonly sources: ConfigSources;
      readonly warnings: readonly string[];
      /** The configuration file that was read. */
      readonly file: string | null;
    }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

const DEFAULT_FILE = 'holdfast.yaml';
const WORLD_READABLE = 0o004;

/** Merges flags > environment > file > defaults into one frozen configuration, or names everything wrong with them. */
export function loadConfig(input: ConfigInput): ConfigResult {
  return new ConfigLoading(input).load();
}

class ConfigLoading {
  private readonly input: ConfigInput;
  private readonly problems: ConfigProblem[] = [];
  private readonly warnings: string[] = [];
  private readonly settings = new Map<string, Setting>();
  private readonly values = new Map<string, unknown>();
  private file: string | null = null;

  constructor(input: ConfigInput) {
    this.input = input;
  }

  load(): ConfigResult {
    const names = checkVariableNames(this.input.env);
    this.problems.push(...names.problems);
    this.warnings.push(...names.warnings);
    const sources = [this.fileSettings(), settingsOfEnvironment(this.input.env), settingsOfFlags(this.input.flags)];
    for (const source of sources) this.merge(source);
    for (const key of CONFIG_KEYS) this.validate(key);
    this.resolvePaths();
    this.readSecretFile();
    this.problems.push(...checkRelations(this.values, (key) => this.sourceOf(key)));
    if (this.problems.length > 0) return { ok: false, problems: this.problems };
    this.warnOfExposure();
    const sourceEntries = CONFIG_KEYS.map((key) => [key.key, this.sourceOf(key.key)] as const);
    return {
      ok: true,
      config: assembleConfig(this.values),
      sources: new Map(sourceEntries),
      warnings: this.warnings,
      file: this.file,
    };
  }

  /** A later, stronger source replaces a value whole; `secret` and `secretFile` also replace each other. */
  private merge(stronger: ReadonlyMap<string, Setting>): void {
    const secret = stronger.get('secret');
    const secretFile = stronger.get('secretFile');
    if (secret !== undefined && secretFile !== undefined) {
      const cause = `${sourceText(secretFile.source)} gives the secret too`;
      this.problems.push({ source: sourceText(secret.source), cause, fix: 'remove one of the two' });
    }
    if (secret !== undefined) this.settings.delete('secretFile');
    if (secretFile !== undefined) this.settings.delete('secret');
    for (const [key, setting] of stronger) this.settings.set(key, setting);
  }

  private sourceOf(key: string): ConfigSource {
    const setting = this.settings.get(key) ?? (key === 'secret' ? this.settings.get('secretFile') : undefined);
    return setting?.source ?? { kind: 'default' };
  }

  private fileSettings(): ReadonlyMap<string, Setting> {
    const { flags, env, cwd } = this.input;
    const named = typeof flags.config === 'string' ? flags.config : env[CONFIG_FILE_VARIABLE] || undefined;
    const shownName = named ?? DEFAULT_FILE;
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
    const { settings, problems } = readConfigFile(content.text, shownName);
    this.problems.push(...problems);
    if (settings.has('secret') && (content.mode & WORLD_READABLE) !== 0) this.warnReadable(shownName);
    return settings;
  }

  private warnReadable(file: string): void {
    this.warnings.push(`${file}: holds the secret and every user of this machine can read it; run chmod 600 ${file}`);
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
      case 'secret':
      case 'secretFile':
        return null;
      case 'zone':
        return '';
      default:
        return key.type === 'list' || key.type === 'map' ? (key.default === '' ? [] : [key.default]) : key.default;
    }
  }

  private resolvePaths(): void {
    for (const key of ['dataDir', 'secretFile']) {
      const value = this.values.get(key);
      if (typeof value !== 'string') continue;
      const fromFile = this.sourceOf(key).kind === 'file' && this.file !== null;
      this.values.set(key, fromFile ? resolve(this.file as string, '..', value) : resolve(this.input.cwd, value));
    }
  }

  private readSecretFile(): void {
    const path = this.values.get('secretFile');
    if (typeof path !== 'string') return;
    const source = sourceText(this.sourceOf('secretFile'));
    let content: FileContent;
    try {
      content = this.input.readFile(path);
    } catch (error) {
      const fix = `make it with \`(umask 077; holdfast secret > ${path})\`, or copy it from a node of the cluster`;
      this.problems.push({ source, cause: `cannot read ${path}: ${reasonText(error)}`, fix });
      return;
    }
    const text = content.text.trim();
    const secret = Secret.parse(text);
    if (secret === undefined) {
      const fix = 'put exactly 64 lower-case hexadecimal digits into it, as printed by `holdfast secret`';
      this.problems.push({ source, cause: `${describeBadSecret(text)} in ${path}`, fix });
      return;
    }
    this.values.set('secret', secret);
    if ((content.mode & WORLD_READABLE) !== 0) this.warnReadable(path);
  }

  private warnOfExposure(): void {
    if (this.settings.get('secret')?.source.kind === 'flag') {
      this.warnings.push('--secret: other users can see it in the list of processes; prefer --secret-file');
    }
    for (const key of ['http', 'resp']) {
      const address = this.values.get(key) as { host: string } | null;
      if (address !== null && !isLoopback(address.host)) {
        this.warnings.push(
          `${sourceText(this.sourceOf(key))}: anyone who can reach ${address.host} can read and write all data; there are no user accounts`,
        );
      }
    }
  }
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

/** Every key of `CONFIG_KEYS` has a valid value here: the schemas have made them. */
function assembleConfig(values: ReadonlyMap<string, unknown>): NodeConfig {
  const config: Record<string, unknown> = {};
  const tuning: Record<string, unknown> = {};
  for (const { key } of CONFIG_KEYS) {
    if (key.startsWith('tuning.')) tuning[key.slice('tuning.'.length)] = values.get(key);
    else config[key] = freeze(values.get(key));
  }
  config.tuning = Object.freeze(tuning);
  return Object.freeze(config) as unknown as NodeConfig;
}

function freeze(value: unknown): unknown {
  return typeof value === 'object' && value !== null ? Object.freeze(value) : value;
}
