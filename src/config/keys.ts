import { ZONE_NAME_EXPECTED } from '../lib/zone-name.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

export type KeyType =
  | 'text'
  | 'path'
  | 'secret'
  | 'database'
  | 'switch'
  | 'hostPort'
  | 'choice'
  | 'list'
  | 'map'
  | 'integer'
  | 'number'
  | 'bytes';

/** One key of the configuration: the reference table of the documentation is made from these. */
export interface ConfigKey {
  /** As in holdfast.yaml; `tuning.x` is key `x` of the group `tuning`. */
  readonly key: string;
  /** Null: not settable by a flag. */
  readonly flag: string | null;
  /** Placeholder of the flag's value, for help texts. */
  readonly placeholder: string;
  readonly variable: string;
  readonly type: KeyType;
  /** As a person would write it; empty: none. */
  readonly default: string;
  readonly meaning: string;
  /** What a valid value is; completes "use …". */
  readonly expects: string;
  /** Bounds, both included, for integer, number and bytes. */
  readonly min?: number;
  readonly max?: number;
  /** 0 is valid too, below `min`. */
  readonly orZero?: boolean;
  readonly choices?: readonly string[];
}

const NODE_KEYS: readonly ConfigKey[] = [
  {
    key: 'dataDir',
    flag: '--data-dir',
    placeholder: 'DIR',
    variable: 'HOLDFAST_DATA_DIR',
    type: 'path',
    default: './holdfast-data',
    meaning: 'Directory of the identity, the address book and the data; one process at a time.',
    expects: 'a path to a directory',
  },
  {
    key: 'name',
    flag: '--name',
    placeholder: 'NAME',
    variable: 'HOLDFAST_NAME',
    type: 'text',
    default: 'the host name',
    meaning: 'Name of the node for people.',
    expects:
      '1 to 64 letters, digits, dots, dashes or underscores, beginning with a letter or digit (quoted, if it is a number)',
  },
  {
    key: 'zone',
    flag: '--zone',
    placeholder: 'ZONE',
    variable: 'HOLDFAST_ZONE',
    type: 'text',
    default: '',
    meaning: 'Failure domain (a site, a cabinet); replicas of a key go to different zones first.',
    expects: `${ZONE_NAME_EXPECTED} (quoted, if it is a number)`,
  },
  {
    key: 'labels',
    flag: '--label',
    placeholder: 'KEY=VALUE',
    variable: 'HOLDFAST_LABEL',
    type: 'map',
    default: '',
    meaning: 'Labels shown with the member; the flag is repeatable, the variable takes a comma-separated list.',
    expects:
      'at most 32 labels KEY=VALUE: keys of 1 to 63 letters, digits and ._/- and text values of up to 63 characters',
  },
  {
    key: 'secret',
    flag: '--secret',
    placeholder: 'SECRET',
    variable: 'HOLDFAST_SECRET',
    type: 'secret',
    default: '',
    meaning:
      'Cluster secret; nodes that hold the same one form a cluster. Without one the node forms a cluster of its own.',
    expects: 'exactly 64 lower-case hexadecimal digits, as printed by `holdfast secret`',
  },
  {
    key: 'secretFile',
    flag: '--secret-file',
    placeholder: 'FILE',
    variable: 'HOLDFAST_SECRET_FILE',
    type: 'path',
    default: '',
    meaning: 'File that holds the cluster secret; white space around it is ignored.',
    expects: 'a path to a file made with `(umask 077; holdfast secret > FILE)`',
  },
  {
    key: 'listen',
    flag: '--listen',
    placeholder: 'MULTIADDR',
    variable: 'HOLDFAST_LISTEN',
    type: 'list',
    default: '/ip4/0.0.0.0/tcp/7400',
    meaning: 'Where other nodes connect; the flag is repeatable, the variable takes a comma-separated list.',
    expects: '1 to 16 addresses like /ip4/0.0.0.0/tcp/7400',
  },
  {
    key: 'seeds',
    flag: '--seed',
    placeholder: 'MULTIADDR',
    variable: 'HOLDFAST_SEED',
    type: 'list',
    default: '',
    meaning:
      'Nodes to join through, retried for ever; the flag is repeatable, the variable takes a comma-separated list.',
    expects: 'at most 64 addresses like /ip4/192.0.2.7/tcp/7400 or /dns4/edge-1/tcp/7400',
  },
  {
    key: 'hub',
    flag: '--hub',
    placeholder: 'MULTIADDR',
    variable: 'HOLDFAST_HUB',
    type: 'text',
    default: '',
    meaning:
      'Hub with which buckets are exchanged as their `sync` says; needs a token of its site. Equal on all nodes.',
    expects: 'an address like /dns4/hub.example.com/tcp/7500',
  },
  {
    key: 'hubToken',
    flag: '--hub-token',
    placeholder: 'TOKEN',
    variable: 'HOLDFAST_HUB_TOKEN',
    type: 'secret',
    default: '',
    meaning: 'Token of the site at the hub.',
    expects: 'the token as `holdfast site add` has printed it',
  },
  {
    key: 'hubTokenFile',
    flag: '--hub-token-file',
    placeholder: 'FILE',
    variable: 'HOLDFAST_HUB_TOKEN_FILE',
    type: 'path',
    default: '',
    meaning: 'File that holds the token of the site; white space around it is ignored.',
    expects: 'a path to a file with what `holdfast site add` has printed',
  },
  {
    key: 'mdns',
    flag: '--mdns',
    placeholder: 'on/off',
    variable: 'HOLDFAST_MDNS',
    type: 'switch',
    default: 'on',
    meaning: 'Finds nodes of the same cluster on the local network.',
    expects: 'on or off',
  },
  {
    key: 'http',
    flag: '--http',
    placeholder: 'HOST:PORT',
    variable: 'HOLDFAST_HTTP',
    type: 'hostPort',
    default: '127.0.0.1:7480',
    meaning: 'Listener of the HTTP API.',
    expects: 'HOST:PORT, like 127.0.0.1:7480 or [::1]:7480',
  },
  {
    key: 'resp',
    flag: '--resp',
    placeholder: 'HOST:PORT/off',
    variable: 'HOLDFAST_RESP',
    type: 'hostPort',
    default: '127.0.0.1:7379',
    meaning: 'Listener of the Redis protocol.',
    expects: 'HOST:PORT, like 127.0.0.1:7379 or [::1]:7379, or off',
  },
  {
    key: 'logLevel',
    flag: '--log-level',
    placeholder: 'debug/info/warn/error',
    variable: 'HOLDFAST_LOG_LEVEL',
    type: 'choice',
    default: 'info',
    meaning: 'Least severe level that is logged.',
    expects: 'debug, info, warn or error',
    choices: ['debug', 'info', 'warn', 'error'],
  },
  {
    key: 'logFormat',
    flag: '--log-format',
    placeholder: 'json/pretty',
    variable: 'HOLDFAST_LOG_FORMAT',
    type: 'choice',
    default: 'pretty on a terminal, else json',
    meaning: 'One JSON object a line, or text for people.',
    expects: 'json or pretty',
    choices: ['json', 'pretty'],
  },
];

type TuningRow = readonly [
  key: string,
  type: 'integer' | 'number' | 'bytes',
  fallback: string,
  min: number,
  max: number,
  meaning: string,
  /** 0 is valid too, below `min`. */
  orZero?: true,
];

const DAY_MS = 86_400_000;

const TUNING_ROWS: readonly TuningRow[] = [
  [
    'probeIntervalMs',
    'integer',
    '1000',
    100,
    60_000,
    'Base of the failure detector: each node starts three probes in this time.',
  ],
  [
    'probeTimeoutMs',
    'integer',
    '400',
    20,
    30_000,
    'Wait for a direct ack before relays are asked; shorter than probeIntervalMs and probeWindowMs.',
  ],
  [
    'probeWindowMs',
    'integer',
    '900',
    40,
    60_000,
    'A probe without any ack, direct or relayed, in this time has failed.',
  ],
  [
    'suspicionMinMultiplier',
    'number',
    '1.5',
    1,
    20,
    'Shortest suspicion before a silent member is held dead: this times log10 of the cluster size (at least 1) times probeIntervalMs.',
  ],
  [
    'suspicionMaxMultiplier',
    'number',
    '6',
    1,
    20,
    'Longest suspicion, without independent confirmations, as a multiple of the shortest.',
  ],
  ['replicas', 'integer', '3', 1, 7, 'Copies of each key (N) in buckets that do not say otherwise.'],
  ['requestTimeoutMs', 'integer', '5000', 100, 60_000, 'Longest time a request of a client may take before it fails.'],
  [
    'replicaTimeoutMs',
    'integer',
    '750',
    10,
    30_000,
    'Wait for a replica before a fallback is asked in its place; shorter than requestTimeoutMs.',
  ],
  [
    'antiEntropyIntervalMs',
    'integer',
    '10000',
    100,
    3_600_000,
    'Time between two comparisons of shards with their other owners.',
  ],
  [
    'outAfterMs',
    'integer',
    '600000',
    1000,
    30 * DAY_MS,
    'How long a member is gone before the leader takes it out of the ring, so that others take over its share of the data; 0 is never.',
    true,
  ],
  [
    'syncBytesPerSecond',
    'bytes',
    '16MiB',
    64 * KIB,
    GIB,
    'How fast each node sends others the objects that they miss, after a change of the ring or an absence; 0B is as fast as it goes.',
    true,
  ],
  [
    'hintBytesMax',
    'bytes',
    '64MiB',
    MIB,
    64 * GIB,
    'Disk space for writes that wait for owners that are away; more are dropped and counted.',
  ],
  [
    'maxClockDriftMs',
    'integer',
    '60000',
    100,
    DAY_MS,
    'Greatest difference between clocks: time stamps further ahead are refused, and a clock off by more than half of it gives way to a majority.',
  ],
  [
    'shards',
    'integer',
    '256',
    1,
    4096,
    'Pieces of the key space; fixed when the cluster is created, equal on all nodes.',
  ],
  ['cacheBytes', 'bytes', '16MiB', MIB, 16 * GIB, 'Memory for cached objects.'],
  ['blockCacheBytes', 'bytes', '16MiB', MIB, 16 * GIB, 'Memory for cached blocks of the store.'],
  [
    'diskHeadroomBytes',
    'bytes',
    '64MiB',
    MIB,
    1024 * GIB,
    'Free disk space below which writes are refused; reads and deletes go on.',
  ],
  [
    'scrubBytesPerSecond',
    'bytes',
    '1MiB',
    4 * KIB,
    GIB,
    'Speed at which the scrubber reads the disk for records that have gone bad; 0B turns it off.',
    true,
  ],
  [
    'scrubIntervalHours',
    'number',
    '24',
    0.0001,
    8760,
    'Hours between the end of one pass of the scrubber over all records and the start of the next.',
  ],
  [
    'hubBytesPerSecond',
    'bytes',
    '0B',
    4 * KIB,
    GIB,
    'How fast this node sends to the hub; 0B is as fast as it goes.',
    true,
  ],
  ['weight', 'number', '1', 0.1, 100, 'Share of the data that this node takes, relative to the others.'],
];

function variableOf(tuningKey: string): string {
  return `HOLDFAST_${tuningKey.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

function expectsOf([key, type, fallback, min, max, , orZero]: TuningRow): string {
  if (type === 'bytes') {
    const example = fallback === '0B' ? bytesText(16 * min) : fallback;
    const range = `a size from ${bytesText(min)} to ${bytesText(max)}, like ${example}`;
    return `${orZero === true ? '0B, or ' : ''}${range}; units are B, KiB, MiB and GiB, a bare number is bytes`;
  }
  const noun = `${orZero === true ? '0, or ' : ''}${type === 'integer' ? 'a whole number' : 'a number'}`;
  return `${noun}${key.endsWith('Ms') ? ' of milliseconds' : ''} from ${min} to ${max}`;
}

/** What one kind of process is configured with. */
export interface ConfigTable {
  /** In the order of the documentation. */
  readonly keys: readonly ConfigKey[];
  /** Read from the working directory where none is named. */
  readonly file: string;
}

/** Every key of a node, in the order of the documentation. */
export const CONFIG_KEYS: readonly ConfigKey[] = [
  ...NODE_KEYS,
  ...TUNING_ROWS.map((row): ConfigKey => {
    const [key, type, fallback, min, max, meaning, orZero] = row;
    return {
      key: `tuning.${key}`,
      flag: null,
      placeholder: '',
      variable: variableOf(key),
      type,
      default: fallback,
      meaning,
      expects: expectsOf(row),
      min,
      max,
      orZero: orZero === true,
    };
  }),
];

export const NODE_TABLE: ConfigTable = { keys: CONFIG_KEYS, file: 'holdfast.yaml' };

/** Names the configuration file, as `--config` does. */
export const CONFIG_FILE_VARIABLE = 'HOLDFAST_CONFIG';

/** Variables that start with HOLDFAST_ but are read elsewhere, or told to the commands that `holdfast lock` runs. */
export const OTHER_VARIABLES: readonly string[] = [
  CONFIG_FILE_VARIABLE,
  'HOLDFAST_API',
  'HOLDFAST_LOCK_NAME',
  'HOLDFAST_LOCK_TOKEN',
];

/** `64MiB`, `1.5GiB`, `12B`. */
export function bytesText(bytes: number): string {
  for (const [unit, size] of [
    ['GiB', GIB],
    ['MiB', MIB],
    ['KiB', KIB],
  ] as const) {
    if (bytes >= size && Number.isInteger((bytes * 2) / size)) return `${bytes / size}${unit}`;
  }
  return `${bytes}B`;
}

/** Bytes of `67108864`, `64MiB` or `1.5 GiB`; undefined when it is none. */
export function parseBytes(text: string): number | undefined {
  const match = /^(\d{1,15}(?:\.\d{1,6})?)\s*(B|KiB|MiB|GiB)?$/.exec(text.trim());
  if (match === null) return undefined;
  const unit = { B: 1, KiB: KIB, MiB: MIB, GiB: GIB }[match[2] ?? 'B'] as number;
  const bytes = Number(match[1]) * unit;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
