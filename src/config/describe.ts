import type { SiteToken } from '../lib/site-token.ts';
import { hostPortText } from './address.ts';
import type { DatabaseUrl } from './database-url.ts';
import { bytesText, type ConfigKey, type ConfigTable } from './keys.ts';
import type { HostPort } from './node-config.ts';
import type { Secret } from './secret.ts';
import { type ConfigSources, sourceText } from './source.ts';

export interface ConfigLine {
  readonly key: string;
  /** As a person would write it; empty: none. Secrets are redacted. */
  readonly value: string;
  /** The flag, the variable, `file:line:key`, or `default`. */
  readonly source: string;
}

/** Every key with its effective value and where that comes from, in the order of the documentation. */
export function describeConfig(table: ConfigTable, config: object, sources: ConfigSources): ConfigLine[] {
  return table.keys.map((key) => ({
    key: key.key,
    value: valueText(key, valueOf(config, key.key)),
    source: sourceText(sources.get(key.key) ?? { kind: 'default' }),
  }));
}

function valueOf(config: object, key: string): unknown {
  const [group, name] = key.split('.') as [string, string?];
  const value = (config as Record<string, unknown>)[group];
  return name === undefined ? value : (value as Record<string, unknown>)[name];
}

function valueText(key: ConfigKey, value: unknown): string {
  if (value === null) return key.type === 'hostPort' ? 'off' : '';
  switch (key.type) {
    case 'secret':
      return (value as Secret | SiteToken).toString();
    case 'switch':
      return value === true ? 'on' : 'off';
    case 'hostPort':
      return hostPortText(value as HostPort);
    case 'list':
      return (value as readonly string[]).join(', ');
    case 'map':
      return Object.entries(value as Record<string, string>)
        .map(([label, text]) => `${label}=${text}`)
        .join(', ');
    case 'bytes':
      return bytesText(value as number);
    case 'database':
      return (value as DatabaseUrl).toString();
    case 'text':
    case 'path':
    case 'choice':
    case 'integer':
    case 'number':
      return typeof value === 'string' ? value : JSON.stringify(value);
  }
}
