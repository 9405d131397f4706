import { type Document, isMap, isScalar, isSeq, LineCounter, type Pair, parseDocument, type YAMLMap } from 'yaml';
import type { ConfigTable } from './keys.ts';
import type { ConfigProblem } from './problem.ts';
import { redact } from './secret.ts';
import type { Setting } from './source.ts';
import { suggest } from './suggestion.ts';

const CONFIG_FILE_CHARACTERS_MAX = 262_144;
const ALIASES_MAX = 100;
const GROUP = 'tuning';

export interface FileSettings {
  readonly settings: ReadonlyMap<string, Setting>;
  readonly problems: readonly ConfigProblem[];
}

class FileReading {
  readonly settings = new Map<string, Setting>();
  readonly problems: ConfigProblem[] = [];
  private readonly table: ConfigTable;
  private readonly file: string;
  private readonly lines = new LineCounter();

  constructor(table: ConfigTable, file: string) {
    this.table = table;
    this.file = file;
  }

  read(text: string): void {
    if (text.length > CONFIG_FILE_CHARACTERS_MAX) {
      const cause = `the file has ${text.length} characters, more than ${CONFIG_FILE_CHARACTERS_MAX}`;
      this.problems.push({ source: this.file, cause, fix: 'name a configuration file' });
      return;
    }
    const document = parseDocument(text, { lineCounter: this.lines, prettyErrors: false });
    for (const error of [...document.errors, ...document.warnings]) {
      const cause = `not valid YAML: ${redact(error.message)}`;
      this.problems.push({
        source: `${this.file}:${this.lineAt(error.pos[0])}`,
        cause,
        fix: 'correct the syntax there',
      });
    }
    if (this.problems.length > 0 || document.contents === null) return;
    if (isScalar(document.contents) && document.contents.value === null) return;
    if (!isMap(document.contents)) {
      this.problems.push({
        source: `${this.file}:1`,
        cause: 'the file is not a map',
        fix: 'write it as `key: value` lines',
      });
      return;
    }
    this.readMap(document, document.contents, '');
  }

  private readMap(document: Document, map: YAMLMap, prefix: string): void {
    for (const pair of map.items) {
      const key = isScalar(pair.key) ? `${prefix}${String(pair.key.value)}` : `${prefix}?`;
      const line = this.lineAt((pair.key as { range?: [number, number, number] | null })?.range?.[0] ?? 0);
      if (key === GROUP) this.readGroup(document, pair, line);
      else if (this.table.keys.some((known) => known.key === key)) this.readValue(document, pair, key, line);
      else this.refuseUnknown(key, prefix, line);
    }
  }

  private readGroup(document: Document, pair: Pair, line: number): void {
    if (isMap(pair.value)) this.readMap(document, pair.value, `${GROUP}.`);
    else if (!isNothing(pair.value)) {
      const cause = `${GROUP} is not a group of keys`;
      this.problems.push({ source: `${this.file}:${line}:${GROUP}`, cause, fix: 'indent its keys below it' });
    }
  }

  private readValue(document: Document, pair: Pair, key: string, line: number): void {
    // A key without a value is as good as absent.
    if (isNothing(pair.value)) return;
    const node = pair.value as { toJS(document: Document, options: { maxAliasCount: number }): unknown };
    let value: unknown;
    try {
      value = node.toJS(document, { maxAliasCount: ALIASES_MAX });
    } catch (error) {
      const cause = `not readable: ${redact(error instanceof Error ? error.message : String(error))}`;
      this.problems.push({ source: `${this.file}:${line}:${key}`, cause, fix: 'write the value without aliases' });
      return;
    }
    const itemLines = this.itemLinesOf(pair.value);
    this.settings.set(key, { value, source: { kind: 'file', file: this.file, line, key }, itemLines });
  }

  private itemLinesOf(value: unknown): Map<string, number> {
    const lines = new Map<string, number>();
    const add = (name: string, node: unknown): void => {
      const range = (node as { range?: [number, number, number] | null } | null)?.range;
      if (range) lines.set(name, this.lineAt(range[0]));
    };
    if (isSeq(value)) for (const [i, item] of value.items.entries()) add(String(i), item);
    if (isMap(value)) for (const item of value.items) add(isScalar(item.key) ? String(item.key.value) : '?', item.key);
    return lines;
  }

  private refuseUnknown(key: string, prefix: string, line: number): void {
    const near = suggest(
      key.slice(prefix.length),
      this.table.keys
        .filter((known) => known.key.startsWith(prefix) && !known.key.slice(prefix.length).includes('.'))
        .map((known) => known.key.slice(prefix.length)),
    );
    // A tunable at the top level, or a key of the node inside the group.
    const elsewhere = this.table.keys.find(
      (known) => known.key === `${GROUP}.${key}` || `${GROUP}.${known.key}` === key,
    );
    const inGroup = near === undefined ? undefined : `${prefix}${near}`;
    const group = prefix === '' ? suggest(key, [GROUP]) : undefined;
    const meant = elsewhere?.key ?? inGroup ?? group;
    this.problems.push({
      source: `${this.file}:${line}:${redact(key)}`,
      cause: 'unknown key',
      fix:
        meant === undefined
          ? 'remove it, or see `holdfast config check --help` for the keys'
          : `did you mean ${meant}?`,
    });
  }

  private lineAt(offset: number): number {
    return Math.max(1, this.lines.linePos(offset).line);
  }
}

function isNothing(node: unknown): boolean {
  return node === null || node === undefined || (isScalar(node) && node.value === null);
}

/** The settings of a configuration file, by key. Never throws. `file` is the name shown in problems. */
export function readConfigFile(table: ConfigTable, text: string, file: string): FileSettings {
  const reading = new FileReading(table, file);
  reading.read(text);
  return { settings: reading.settings, problems: reading.problems };
}
