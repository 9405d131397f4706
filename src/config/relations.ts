import { hostPortText, listenEndpoint } from './address.ts';
import type { HostPort } from './node-config.ts';
import type { ConfigProblem } from './problem.ts';
import { type ConfigSource, sourceText } from './source.ts';

type Values = ReadonlyMap<string, unknown>;
type SourceOf = (key: string) => ConfigSource;

/** Pairs of tunables of which the first must be smaller. */
const SMALLER: readonly (readonly [string, string])[] = [
  ['tuning.probeTimeoutMs', 'tuning.probeIntervalMs'],
  ['tuning.probeTimeoutMs', 'tuning.probeWindowMs'],
  ['tuning.replicaTimeoutMs', 'tuning.requestTimeoutMs'],
];

/** Checks between keys; only those whose values are valid by themselves are in `values`. */
export function checkRelations(values: Values, sourceOf: SourceOf): ConfigProblem[] {
  return [...checkOrder(values, sourceOf), ...checkPorts(values, sourceOf), ...checkHub(values, sourceOf)];
}

function checkOrder(values: Values, sourceOf: SourceOf): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  for (const [lower, upper] of SMALLER) {
    const small = values.get(lower);
    const large = values.get(upper);
    if (typeof small !== 'number' || typeof large !== 'number' || small < large) continue;
    problems.push({
      source: sourceText(blamed(sourceOf, lower, upper)),
      cause: `${lower} (${small}) is not smaller than ${upper} (${large})`,
      fix: 'lower the first or raise the second',
    });
  }
  return problems;
}

/** A hub takes the token of a site, and a token is for a hub. */
function checkHub(values: Values, sourceOf: SourceOf): ConfigProblem[] {
  const hasHub = values.get('hub') !== null;
  const hasToken = values.get('hubToken') !== null || values.get('hubTokenFile') !== null;
  // Invalid ones have been complained of.
  if (hasHub === hasToken || !values.has('hub') || !values.has('hubToken') || !values.has('hubTokenFile')) return [];
  if (hasHub) {
    return [
      {
        source: sourceText(blamed(sourceOf, 'hub')),
        cause: 'the hub takes nobody without the token of a site',
        fix: 'pass the one that `holdfast site add` has printed with --hub-token-file or HOLDFAST_HUB_TOKEN',
      },
    ];
  }
  return [
    {
      source: sourceText(blamed(sourceOf, 'hubToken', 'hubTokenFile')),
      cause: 'there is no hub that the token is for',
      fix: 'name it with --hub or HOLDFAST_HUB, or leave the token out',
    },
  ];
}

/** The source of the first key that the user has set. */
function blamed(sourceOf: SourceOf, ...keys: readonly string[]): ConfigSource {
  return keys.map(sourceOf).find((source) => source.kind !== 'default') ?? { kind: 'default' };
}

interface Listener extends HostPort {
  readonly key: string;
}

function checkPorts(values: Values, sourceOf: SourceOf): ConfigProblem[] {
  const listeners: Listener[] = [];
  for (const key of ['http', 'resp']) {
    const address = values.get(key) as HostPort | null | undefined;
    if (address) listeners.push({ key, ...address });
  }
  for (const text of (values.get('listen') as readonly string[] | undefined) ?? []) {
    const address = listenEndpoint(text);
    if (address !== undefined) listeners.push({ key: 'listen', ...address });
  }
  const problems: ConfigProblem[] = [];
  for (const [i, one] of listeners.entries()) {
    for (const other of listeners.slice(i + 1)) {
      if (!overlap(one, other)) continue;
      problems.push({
        source: sourceText(blamed(sourceOf, other.key, one.key)),
        cause: `${other.key} (${hostPortText(other)}) takes the same port as ${one.key} (${hostPortText(one)})`,
        fix: 'give one of them another port',
      });
    }
  }
  return problems;
}

function overlap(a: HostPort, b: HostPort): boolean {
  const any = (host: string): boolean => host === '0.0.0.0' || host === '::';
  return a.port !== 0 && a.port === b.port && (a.host === b.host || any(a.host) || any(b.host));
}
