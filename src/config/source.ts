/** Where an effective value comes from. */
export type ConfigSource =
  | { readonly kind: 'flag'; readonly flag: string }
  | { readonly kind: 'environment'; readonly variable: string }
  | { readonly kind: 'file'; readonly file: string; readonly line: number; readonly key: string }
  | { readonly kind: 'default' };

/** By key, as in `CONFIG_KEYS`. */
export type ConfigSources = ReadonlyMap<string, ConfigSource>;

/** A value as one source gives it, not yet validated. */
export interface Setting {
  readonly value: unknown;
  readonly source: ConfigSource;
  /** Lines of a list's or map's items in the file, by index or key. */
  readonly itemLines?: ReadonlyMap<string, number>;
}

export function sourceText(source: ConfigSource): string {
  switch (source.kind) {
    case 'flag':
      return source.flag;
    case 'environment':
      return source.variable;
    case 'file':
      return `${source.file}:${source.line}:${source.key}`;
    case 'default':
      return 'default';
  }
}
