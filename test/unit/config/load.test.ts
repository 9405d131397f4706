import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { describeConfig } from '../../../src/config/describe.ts';
import { HUB_KEYS, HUB_TABLE } from '../../../src/config/hub-keys.ts';
import { CONFIG_KEYS, NODE_TABLE } from '../../../src/config/keys.ts';
import {
  type ConfigInput,
  type ConfigResult,
  type FileContent,
  loadConfig,
  loadHubConfig,
} from '../../../src/config/load.ts';
import { problemText } from '../../../src/config/problem.ts';
import { MEMBERSHIP_DEFAULTS } from '../../../src/protocol/membership/options.ts';

const SECRET = '0123456789abcdef'.repeat(4);
const OTHER_SECRET = 'fedcba9876543210'.repeat(4);

type Files = Record<string, string | FileContent>;

type Input = Partial<Omit<ConfigInput, 'readFile'>> & { files?: Files };

function load(input: Input = {}): ConfigResult {
  return loadConfig(wholeInput(input));
}

function wholeInput(input: Input): ConfigInput {
  const files = input.files ?? {};
  return {
    flags: {},
    env: {},
    cwd: '/work',
    hostName: 'edge-7.local',
    isTTY: false,
    readFile: (path) => {
      const file = Object.hasOwn(files, path) ? files[path] : undefined;
      if (file === undefined) throw Object.assign(new Error(`ENOENT: ${path}`), { code: 'ENOENT' });
      return typeof file === 'string' ? { text: file, mode: 0o100600 } : file;
    },
    ...input,
  };
}

function loaded(input: Parameters<typeof load>[0] = {}) {
  const result = load(input);
  if (!result.ok) throw new Error(result.problems.map(problemText).join('\n'));
  return result;
}

function problems(input: Parameters<typeof load>[0]): string[] {
  const result = load(input);
  return result.ok ? [] : result.problems.map(problemText);
}

const yaml = (text: string): { files: Files } => ({ files: { '/work/holdfast.yaml': text } });

describe('defaults', () => {
  it('make a whole, frozen configuration out of nothing', () => {
    const { config, warnings, file } = loaded();
    expect(config).toEqual({
      dataDir: '/work/holdfast-data',
      name: 'edge-7.local',
      zone: '',
      labels: {},
      secret: null,
      secretFile: null,
      listen: ['/ip4/0.0.0.0/tcp/7400'],
      seeds: [],
      hub: null,
      hubToken: null,
      hubTokenFile: null,
      mdns: true,
      http: { host: '127.0.0.1', port: 7480 },
      resp: { host: '127.0.0.1', port: 7379 },
      logLevel: 'info',
      logFormat: 'json',
      tuning: {
        probeIntervalMs: 1000,
        probeTimeoutMs: 400,
        probeWindowMs: 900,
        suspicionMinMultiplier: 1.5,
        suspicionMaxMultiplier: 6,
        replicas: 3,
        requestTimeoutMs: 5000,
        replicaTimeoutMs: 750,
        antiEntropyIntervalMs: 10_000,
        outAfterMs: 600_000,
        syncBytesPerSecond: 16 * 1024 * 1024,
        hintBytesMax: 64 * 1024 * 1024,
        maxClockDriftMs: 60_000,
        shards: 256,
        cacheBytes: 16 * 1024 * 1024,
        blockCacheBytes: 16 * 1024 * 1024,
        diskHeadroomBytes: 64 * 1024 * 1024,
        scrubBytesPerSecond: 1_048_576,
        scrubIntervalHours: 24,
        hubBytesPerSecond: 0,
        weight: 1,
      },
    });
    expect(warnings).toEqual([]);
    expect(file).toBeNull();
    for (const part of [config, config.tuning, config.labels, config.listen, config.seeds, config.http]) {
      expect(Object.isFrozen(part)).toBe(true);
    }
  });

  it('take the log format from the terminal and a usable name from any host name', () => {
    expect(loaded({ isTTY: true }).config.logFormat).toBe('pretty');
    expect(loaded({ hostName: '-Jörg s Pi' }).config.name).toBe('J-rg-s-Pi');
    expect(loaded({ hostName: '' }).config.name).toBe('node');
    expect(loaded({ hostName: 'x'.repeat(300) }).config.name).toHaveLength(64);
  });

  it('are the ones that the table of keys documents', () => {
    const lines = new Map(
      describeConfig(NODE_TABLE, loaded().config, loaded().sources).map((line) => [line.key, line.value]),
    );
    for (const { key, default: text } of CONFIG_KEYS) {
      if (key === 'name' || key === 'logFormat' || key === 'dataDir') continue;
      expect([key, lines.get(key)]).toEqual([key, text]);
    }
  });
});

describe('the tunables of membership', () => {
  it('default to what the protocol was tuned with', () => {
    const { tuning } = loaded().config;
    const shared = Object.entries(MEMBERSHIP_DEFAULTS).filter(([key]) => Object.hasOwn(tuning, key));
    expect(shared).toHaveLength(5);
    expect(tuning).toMatchObject(Object.fromEntries(shared));
  });
});

describe('precedence', () => {
  it('is flags, environment, file, default', () => {
    const file = 'name: of-file\nzone: of-file\nlogLevel: warn\ntuning:\n  replicas: 5\n';
    const { config, sources } = loaded({
      ...yaml(file),
      env: { HOLDFAST_NAME: 'of-env', HOLDFAST_ZONE: 'of-env', HOLDFAST_REPLICAS: '1' },
      flags: { name: 'of-flag' },
    });
    expect([config.name, config.zone, config.logLevel, config.tuning.replicas, config.mdns]).toEqual([
      'of-flag',
      'of-env',
      'warn',
      1,
      true,
    ]);
    const lines = describeConfig(NODE_TABLE, config, sources).filter(({ key }) =>
      ['name', 'zone', 'logLevel', 'mdns', 'tuning.replicas'].includes(key),
    );
    expect(lines).toEqual([
      { key: 'name', value: 'of-flag', source: '--name' },
      { key: 'zone', value: 'of-env', source: 'HOLDFAST_ZONE' },
      { key: 'mdns', value: 'on', source: 'default' },
      { key: 'logLevel', value: 'warn', source: 'holdfast.yaml:3:logLevel' },
      { key: 'tuning.replicas', value: '1', source: 'HOLDFAST_REPLICAS' },
    ]);
  });

  it('replaces lists and labels whole', () => {
    const file = 'seeds:\n  - /ip4/10.0.0.1/tcp/7400\nlabels:\n  rack: a\n  site: north\n';
    const env = { HOLDFAST_SEED: '/ip4/10.0.0.2/tcp/7400, /dns4/edge-1/tcp/7400', HOLDFAST_LABEL: 'rack=b' };
    expect(loaded(yaml(file)).config.labels).toEqual({ rack: 'a', site: 'north' });
    const both = loaded({ ...yaml(file), env }).config;
    expect(both.seeds).toEqual(['/ip4/10.0.0.2/tcp/7400', '/dns4/edge-1/tcp/7400']);
    expect(both.labels).toEqual({ rack: 'b' });
    const all = loaded({ ...yaml(file), env, flags: { labels: ['gpu=', 'x/y=a=b'] } }).config;
    expect(all.labels).toEqual({ gpu: '', 'x/y': 'a=b' });
  });

  it('lets a stronger secret replace a weaker secretFile, and the other way round', () => {
    const files = {
      '/work/holdfast.yaml': 'secretFile: key.txt\n',
      '/work/key.txt': `${SECRET}\n`,
      '/k': OTHER_SECRET,
    };
    expect(loaded({ files }).config.secret?.reveal()).toBe(SECRET);
    expect(loaded({ files, env: { HOLDFAST_SECRET: OTHER_SECRET } }).config.secret?.reveal()).toBe(OTHER_SECRET);
    expect(loaded({ files, env: { HOLDFAST_SECRET: OTHER_SECRET } }).config.secretFile).toBeNull();
    const flagged = loaded({ files, env: { HOLDFAST_SECRET: SECRET }, flags: { secretFile: '/k' } }).config;
    expect(flagged.secret?.reveal()).toBe(OTHER_SECRET);
  });

  it('counts an empty variable as unset', () => {
    expect(loaded({ ...yaml('zone: north'), env: { HOLDFAST_ZONE: '' } }).config.zone).toBe('north');
  });
});

describe('paths', () => {
  it('start at the working directory, those of the file at its folder', () => {
    const files = { '/etc/holdfast/node.yaml': 'dataDir: data\n' };
    const flags = { config: '/etc/holdfast/node.yaml' };
    expect(loaded({ files, flags }).config.dataDir).toBe('/etc/holdfast/data');
    expect(loaded({ files, flags: { ...flags, dataDir: 'data' } }).config.dataDir).toBe('/work/data');
    expect(loaded({ files, env: { HOLDFAST_CONFIG: '/etc/holdfast/node.yaml' } }).file).toBe('/etc/holdfast/node.yaml');
  });

  it('name the source of a file that cannot be read', () => {
    expect(problems({ flags: { config: 'x.yaml' } })).toEqual([
      '--config: cannot read /work/x.yaml: no such file — name a file that this user can read',
    ]);
    expect(problems({ env: { HOLDFAST_CONFIG: '/x.yaml' } })[0]).toMatch(/^HOLDFAST_CONFIG: cannot read \/x\.yaml/);
    const denied = loadConfig({
      flags: {},
      env: {},
      cwd: '/work',
      hostName: 'a',
      isTTY: false,
      readFile: () => {
        throw Object.assign(new Error('no'), { code: 'EACCES' });
      },
    });
    expect(denied.ok ? [] : denied.problems.map(problemText)).toEqual([
      'holdfast.yaml: cannot read /work/holdfast.yaml: permission denied — name a file that this user can read',
    ]);
  });
});

describe('problems', () => {
  it('are all reported at once, each with source, cause and fix', () => {
    const file = [
      'name: "a b"',
      'nmae: x',
      'zone: 5',
      'seeds:',
      '  - /ip4/10.0.0.1/tcp/7400',
      '  - 10.0.0.2:7400',
      'tuning:',
      '  probeIntervalMs: 50',
      '  probeTimeuotMs: 5',
      'replicas: 3',
    ].join('\n');
    const env = { HOLDFAST_MDNS: 'maybe', HOLDFAST_NAMES: 'x' };
    const flags = { http: '7480', labels: ['rack'], logLevel: 'loud' };
    expect(problems({ ...yaml(file), env, flags })).toMatchInlineSnapshot(`
      [
        "HOLDFAST_NAMES: unknown environment variable — did you mean HOLDFAST_NAME?",
        "holdfast.yaml:2:nmae: unknown key — did you mean name?",
        "holdfast.yaml:9:tuning.probeTimeuotMs: unknown key — did you mean tuning.probeTimeoutMs?",
        "holdfast.yaml:10:replicas: unknown key — did you mean tuning.replicas?",
        "holdfast.yaml:1:name: "a b" is not valid — use 1 to 64 letters, digits, dots, dashes or underscores, beginning with a letter or digit (quoted, if it is a number)",
        "holdfast.yaml:3:zone: 5 is not valid — use 1 to 64 letters, digits, dots, dashes or underscores, beginning with a letter or digit (quoted, if it is a number)",
        "--label: "rack" is not KEY=VALUE — use at most 32 labels KEY=VALUE: keys of 1 to 63 letters, digits and ._/- and text values of up to 63 characters",
        "holdfast.yaml:6:seeds[1]: "10.0.0.2:7400" is not a multiaddr (String multiaddr must start with "/") — use at most 64 addresses like /ip4/192.0.2.7/tcp/7400 or /dns4/edge-1/tcp/7400",
        "HOLDFAST_MDNS: "maybe" is not valid — use on or off",
        "--http: "7480" is not valid — use HOST:PORT, like 127.0.0.1:7480 or [::1]:7480",
        "--log-level: "loud" is not valid — use debug, info, warn or error",
        "holdfast.yaml:8:tuning.probeIntervalMs: 50 is below the smallest value — use a whole number of milliseconds from 100 to 60000",
      ]
    `);
  });

  it.each([
    ['listen', { flags: { listen: ['/dns4/a/tcp/1'] } }, 'does not begin with /ip4/ or /ip6/'],
    ['listen', { flags: { listen: ['/ip4/0.0.0.0/udp/1'] } }, 'is not a TCP address'],
    ['listen', { flags: { listen: ['/ip4/0.0.0.0/tcp/1/ws'] } }, 'is not a TCP address'],
    ['listen', yaml('listen: []'), 'the list is empty'],
    ['listen', yaml('listen: /ip4/0.0.0.0/tcp/1'), 'is not a list'],
    ['seeds', { flags: { seeds: ['/ip4/0.0.0.0/tcp/1'] } }, 'names every interface'],
    ['seeds', { flags: { seeds: ['/ip4/1.2.3.4/tcp/0'] } }, 'has port 0'],
    ['seeds', { flags: { seeds: ['/ip4/1.2.3.4/tcp/70000'] } }, 'is not a multiaddr'],
    ['seeds', { flags: { seeds: ['/dns4/a b/tcp/1'] } }, 'has no valid host name'],
    ['seeds', { flags: { seeds: ['/ip4/1.2.3.4/tcp/1/p2p/12D3KooWxyz'] } }, 'has no valid peer id'],
    ['http', { flags: { http: '127.0.0.1:70000' } }, 'is not valid'],
    ['http', { flags: { http: 'off' } }, 'is not valid'],
    ['http', { flags: { http: '[::1:80' } }, 'is not valid'],
    ['resp', { flags: { resp: 'no' } }, 'is not valid'],
    ['labels', yaml('labels: {a: 1}'), 'is not text: quote it'],
    ['labels', { flags: { labels: ['a=1', 'a=2'] } }, 'given twice'],
    ['labels', yaml(`labels: {${Array.from({ length: 33 }, (_, i) => `k${i}: x`).join(', ')}}`), '33 labels'],
    ['labels', { flags: { labels: ['__proto__=x'] } }, 'not a valid label key'],
    ['dataDir', { flags: { dataDir: '' } }, 'the path is empty'],
    ['tuning.hintBytesMax', yaml('tuning: {hintBytesMax: 12 parsecs}'), 'is not valid'],
    ['tuning.hintBytesMax', { env: { HOLDFAST_HINT_BYTES_MAX: '1KiB' } }, 'below the smallest'],
    ['tuning.hintBytesMax', yaml('tuning: {hintBytesMax: 1TiB}'), 'units are B, KiB, MiB and GiB'],
    ['tuning.syncBytesPerSecond', yaml('tuning: {syncBytesPerSecond: 16}'), '16 is below the smallest value'],
    [
      'tuning.syncBytesPerSecond',
      { env: { HOLDFAST_SYNC_BYTES_PER_SECOND: '63KiB' } },
      'use 0B, or a size from 64KiB to 1GiB, like 16MiB; units are B, KiB, MiB and GiB, a bare number is bytes',
    ],
    ['tuning.syncBytesPerSecond', yaml('tuning: {syncBytesPerSecond: 2GiB}'), 'above the largest'],
    ['tuning.scrubBytesPerSecond', yaml('tuning: {scrubBytesPerSecond: 1}'), 'use 0B, or a size from 4KiB to 1GiB'],
    ['tuning.shards', { env: { HOLDFAST_SHARDS: '1.5' } }, 'is not valid'],
    ['tuning.weight', { env: { HOLDFAST_WEIGHT: '1000' } }, 'above the largest'],
    ['tuning.weight', yaml('tuning: {weight: .nan}'), 'is not valid'],
    ['tuning', yaml('tuning: 5'), 'tuning is not a group of keys'],
  ])('of %s: %o', (_key, input, cause) => {
    const found = problems(input);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(cause);
  });

  it('between keys name both', () => {
    expect(problems(yaml('tuning:\n  probeTimeoutMs: 2000\n  probeWindowMs: 3000\n'))).toEqual([
      'holdfast.yaml:2:tuning.probeTimeoutMs: tuning.probeTimeoutMs (2000) is not smaller than tuning.probeIntervalMs (1000) — lower the first or raise the second',
    ]);
    expect(problems({ env: { HOLDFAST_REQUEST_TIMEOUT_MS: '700' } })[0]).toMatch(/^HOLDFAST_REQUEST_TIMEOUT_MS: /);
    expect(problems({ flags: { resp: '0.0.0.0:7480' } })).toEqual([
      '--resp: resp (0.0.0.0:7480) takes the same port as http (127.0.0.1:7480) — give one of them another port',
    ]);
    expect(problems({ flags: { http: '127.0.0.1:0', resp: '127.0.0.1:0' } })).toEqual([]);
  });

  it('of YAML name the line', () => {
    expect(problems(yaml('name: a\nzone: "b\n'))[0]).toMatch(/^holdfast\.yaml:3: not valid YAML: /);
    expect(problems(yaml('name: a\nname: b\n'))[0]).toMatch(/^holdfast\.yaml:2: not valid YAML: .*unique/);
    expect(problems(yaml('- a\n'))).toEqual([
      'holdfast.yaml:1: the file is not a map — write it as `key: value` lines',
    ]);
    expect(problems(yaml('a: &a [1]\nb: &b [*a, *a]\nseeds: [*b'))[0]).toMatch(/not valid YAML/);
    expect(problems(yaml('name: a\n---\nname: b\n'))[0]).toMatch(/not valid YAML/);
    expect(problems(yaml(' '.repeat(300_000)))[0]).toMatch(/more than 262144/);
  });

  it('stop a bomb of aliases', () => {
    const lines = ['labels: &a0 {x: y}'];
    for (let i = 1; i < 12; i++) lines.push(`k${i}: &a${i} [${`*a${i - 1},`.repeat(9)}]`);
    lines.push('seeds: *a11');
    expect(problems(yaml(lines.join('\n'))).some((text) => text.includes('not readable'))).toBe(true);
  });
});

describe('accepted forms', () => {
  it('of values', () => {
    const file = 'mdns: off\nresp: off\nhttp: "[::1]:80"\ntuning:\n  cacheBytes: 1.5GiB\n  weight: 0.5\n';
    const { config } = loaded(yaml(file));
    expect(config).toMatchObject({ mdns: false, resp: null, http: { host: '::1', port: 80 } });
    expect(config.tuning).toMatchObject({ cacheBytes: 1.5 * 1024 ** 3, weight: 0.5 });
    expect(loaded(yaml('resp: false\nmdns: true')).config).toMatchObject({ resp: null, mdns: true });
  });

  it('of a pace: none, or one that gets things done', () => {
    const pace = (text: string) =>
      loaded(yaml(`tuning: {syncBytesPerSecond: ${text}}`)).config.tuning.syncBytesPerSecond;
    expect(['0', '0B', '"0"', '64KiB', '65536', '0.5 MiB', '1GiB'].map(pace)).toEqual([
      0,
      0,
      0,
      65_536,
      65_536,
      524_288,
      1024 ** 3,
    ]);
    expect(loaded(yaml('tuning: {scrubBytesPerSecond: 0B}')).config.tuning.scrubBytesPerSecond).toBe(0);
    expect(loaded(yaml('tuning: {scrubBytesPerSecond: 4KiB}')).config.tuning.scrubBytesPerSecond).toBe(4096);
  });

  it('of an empty file, an empty group and keys without a value', () => {
    for (const text of ['', '# nothing\n', 'tuning:\n', 'name:\nseeds:\n', '---\n']) {
      expect(loaded(yaml(text)).config.name).toBe('edge-7.local');
    }
  });

  it('of seeds, with duplicates removed', () => {
    const peer = '/ip4/10.0.0.1/tcp/7400/p2p/12D3KooWGQ5SbWFqHyEwJ4i5nQxxjVPm9QZ1N9cNRXF6jYN3aV5B';
    expect(loaded({ flags: { seeds: [peer, peer, '/dns/edge/tcp/1', '/ip6/fe80::1/tcp/2'] } }).config.seeds).toEqual([
      peer,
      '/dns/edge/tcp/1',
      '/ip6/fe80::1/tcp/2',
    ]);
  });
});

describe('secrets', () => {
  it('never appear in what is printed', () => {
    const { config, sources } = loaded({ flags: { secret: SECRET } });
    const printed =
      JSON.stringify(config) + JSON.stringify(describeConfig(NODE_TABLE, config, sources)) + `${config.secret}`;
    expect(printed).not.toContain(SECRET.slice(0, 16));
    expect(describeConfig(NODE_TABLE, config, sources).find(({ key }) => key === 'secret')?.value).toBe('[redacted]');
  });

  it.each([
    ['too short', SECRET.slice(1)],
    ['upper case', SECRET.toUpperCase()],
    ['not hexadecimal', `g${SECRET.slice(1)}`],
    ['spaced', ` ${SECRET}`],
  ])('that are wrong (%s) are described, not repeated', (_what, secret) => {
    const files = { '/s': secret.trim() === SECRET ? 'x' : secret };
    for (const input of [
      { flags: { secret } },
      { env: { HOLDFAST_SECRET: secret } },
      yaml(`secret: "${secret}"`),
      { files, flags: { secretFile: '/s' } },
    ]) {
      const [text, ...rest] = problems(input);
      expect(rest).toEqual([]);
      expect(text).toContain('secret');
      expect(text?.toLowerCase()).not.toContain(SECRET.slice(2, 20));
    }
  });

  it('in the wrong place are not repeated either', () => {
    for (const text of [`secert: ${SECRET}`, `name: ${SECRET}x y`, `${SECRET}: x`, `secret: ${SECRET}: "\n x`]) {
      expect(problems(yaml(text)).join('\n')).not.toContain(SECRET.slice(0, 30));
    }
    expect(problems({ flags: { seeds: [SECRET] } }).join('\n')).not.toContain(SECRET.slice(0, 30));
  });

  it('given twice in one source are refused', () => {
    expect(problems({ files: { '/s': SECRET }, flags: { secret: SECRET, secretFile: '/s' } })).toEqual([
      '--secret: --secret-file gives the secret too — remove one of the two',
    ]);
  });

  it('in a file are trimmed, and warned about when everyone can read it', () => {
    const files = { '/s': { text: `\n ${SECRET}\n`, mode: 0o100644 } };
    const { config, warnings, sources } = loaded({ files, flags: { secretFile: '/s' } });
    expect(config.secret?.reveal()).toBe(SECRET);
    expect(warnings).toEqual(['/s: holds the secret and every user of this machine can read it; run chmod 600 /s']);
    expect(sources.get('secret')).toEqual({ kind: 'flag', flag: '--secret-file' });
    const own = loaded({ files: { '/work/holdfast.yaml': { text: `secret: ${SECRET}`, mode: 0o100604 } } });
    expect(own.warnings).toHaveLength(1);
    expect(loaded(yaml(`secret: ${SECRET}`)).warnings).toEqual([]);
  });

  it('of a missing file say how to make one', () => {
    expect(problems({ flags: { secretFile: 's' } })).toEqual([
      '--secret-file: cannot read /work/s: no such file — make it with `(umask 077; holdfast secret > /work/s)`, or copy it from a node of the cluster',
    ]);
  });
});

describe('the hub of a node', () => {
  const TOKEN = `hft1.hall-2.${SECRET}`;
  const hub = '/dns4/hub.example.com/tcp/7500';

  it('is an address and a token, as text or in a file', () => {
    const { config } = loaded({ ...yaml(`hub: ${hub}`), env: { HOLDFAST_HUB_TOKEN: TOKEN } });
    expect([config.hub, config.hubToken?.reveal(), config.hubTokenFile]).toEqual([hub, TOKEN, null]);
    const files = { '/work/token': `${TOKEN}\n` };
    const { config: other, sources } = loaded({ files, flags: { hub, hubTokenFile: 'token' } });
    expect([other.hubToken?.reveal(), other.hubTokenFile]).toEqual([TOKEN, '/work/token']);
    expect(sources.get('hubToken')).toEqual({ kind: 'flag', flag: '--hub-token-file' });
    expect(loaded({ flags: { hub, hubToken: TOKEN } }).warnings).toEqual([
      '--hub-token: other users can see it in the list of processes; prefer --hub-token-file',
    ]);
    const shown = { files: { '/t': { text: TOKEN, mode: 0o100644 } }, flags: { hub, hubTokenFile: '/t' } };
    expect(loaded(shown).warnings).toEqual([
      '/t: holds the token and every user of this machine can read it; run chmod 600 /t',
    ]);
  });

  it('needs both', () => {
    expect(problems({ flags: { hub } })).toEqual([
      '--hub: the hub takes nobody without the token of a site — pass the one that `holdfast site add` has printed with --hub-token-file or HOLDFAST_HUB_TOKEN',
    ]);
    expect(problems({ env: { HOLDFAST_HUB_TOKEN: TOKEN } })).toEqual([
      'HOLDFAST_HUB_TOKEN: there is no hub that the token is for — name it with --hub or HOLDFAST_HUB, or leave the token out',
    ]);
  });

  it('is refused without repeating the token', () => {
    expect(problems({ flags: { hub: 'hub.example.com', hubToken: TOKEN } })[0]).toContain('is not a multiaddr');
    const bad = TOKEN.slice(0, 70);
    expect(problems({ flags: { hub, hubToken: bad } })).toEqual([
      '--hub-token: the secret at its end has 58 characters instead of 64 — use the token as `holdfast site add` has printed it',
    ]);
    expect(problems({ files: { '/t': bad }, flags: { hub, hubTokenFile: '/t' } })).toEqual([
      '--hub-token-file: the secret at its end has 58 characters instead of 64 in /t — put the token into it, as printed by `holdfast site add`',
    ]);
    expect(problems({ flags: { hub, hubTokenFile: '/t' } })[0]).toMatch(/cannot read \/t: .* holdfast site add NAME/);
  });

  it('is shown by the name of the site', () => {
    const { config, sources } = loaded({ flags: { hub, hubToken: TOKEN } });
    const line = describeConfig(NODE_TABLE, config, sources).find(({ key }) => key === 'hubToken');
    expect(line?.value).toBe('hft1.hall-2.[redacted]');
    expect(JSON.stringify(config)).not.toContain(SECRET.slice(0, 16));
  });

  it('may be sent to slowly', () => {
    const pace = (text: string) => yaml(`tuning: {hubBytesPerSecond: ${text}}`);
    expect(loaded(pace('64KiB')).config.tuning.hubBytesPerSecond).toBe(65_536);
    expect(problems(pace('1'))[0]).toContain('use 0B, or a size from 4KiB to 1GiB, like 64KiB');
  });
});

describe('the configuration of a hub', () => {
  const loadedHub = (input: Input = {}) => {
    const result = loadHubConfig(wholeInput(input));
    if (!result.ok) throw new Error(result.problems.map(problemText).join('\n'));
    return result;
  };
  const hubProblems = (input: Input): string[] => {
    const result = loadHubConfig(wholeInput(input));
    return result.ok ? [] : result.problems.map(problemText);
  };

  it('is whole without anything being said', () => {
    const { config, warnings } = loadedHub();
    expect(config).toEqual({
      dataDir: '/work/holdfast-hub',
      name: 'edge-7.local',
      listen: ['/ip4/0.0.0.0/tcp/7500'],
      announce: [],
      http: { host: '127.0.0.1', port: 7580 },
      database: null,
      hub: null,
      hubToken: null,
      hubTokenFile: null,
      logLevel: 'info',
      logFormat: 'json',
      tuning: { hubBytesPerSecond: 0 },
    });
    expect([warnings, Object.isFrozen(config)]).toEqual([[], true]);
  });

  it('comes from flags, the environment and a file of its own, in this order', () => {
    const files = {
      '/work/holdfast-hub.yaml': 'name: of-file\ndataDir: data\nlogLevel: warn\n',
      '/work/holdfast.yaml': 'zone: a',
    };
    const env = { HOLDFAST_NAME: 'of-env', HOLDFAST_LOG_LEVEL: 'error', HOLDFAST_ZONE: 'north' };
    const { config, sources, warnings } = loadedHub({ files, env, flags: { name: 'of-flag' } });
    expect([config.name, config.logLevel, config.dataDir]).toEqual(['of-flag', 'error', '/work/data']);
    expect(sources.get('dataDir')).toMatchObject({ kind: 'file', line: 2 });
    expect(warnings).toEqual([]);
    expect(hubProblems({ files: { '/work/holdfast-hub.yaml': 'nmae: x\nzone: a\ntuning: {weight: 1}' } })).toEqual([
      'holdfast-hub.yaml:1:nmae: unknown key — did you mean name?',
      expect.stringContaining('holdfast-hub.yaml:2:zone: unknown key'),
      expect.stringContaining('holdfast-hub.yaml:3:tuning.weight: unknown key'),
    ]);
  });

  it('names the hub above with the token of a site there, and how fast it is sent to', () => {
    const hub = '/dns4/cloud.example.com/tcp/7500';
    const files = {
      '/work/holdfast-hub.yaml': `hub: ${hub}\nhubTokenFile: token\ntuning: {hubBytesPerSecond: 64KiB}\n`,
      '/work/token': `hft1.district-7.${'ab'.repeat(32)}\n`,
    };
    const { config } = loadedHub({ files });
    expect([config.hub, config.hubToken?.site, config.hubTokenFile]).toEqual([hub, 'district-7', '/work/token']);
    expect(config.tuning.hubBytesPerSecond).toBe(65_536);
    expect(hubProblems({ flags: { hub } })).toEqual([expect.stringContaining('without the token of a site')]);
    const [nameless] = hubProblems({ env: { HOLDFAST_HUB_TOKEN: `hft1.district-7.${'ab'.repeat(32)}` } });
    expect(nameless).toContain('there is no hub that the token is for');
    expect(hubProblems({ flags: { hub: 'cloud', hubToken: 'x' } })).toHaveLength(2);
  });

  it('names no two listeners of one port', () => {
    expect(hubProblems({ flags: { http: '0.0.0.0:7500' } })).toEqual([
      '--http: listen (0.0.0.0:7500) takes the same port as http (0.0.0.0:7500) — give one of them another port',
    ]);
  });

  it('never shows the password of the database', () => {
    const database = 'postgres://hub:s3cret-word@db.example.com:5433/fleet?password=s3cret-word&sslmode=require';
    const { config, sources, warnings } = loadedHub({ flags: { database } });
    expect(config.database?.reveal()).toBe(database);
    const lines = describeConfig(HUB_TABLE, config, sources);
    expect(lines.find(({ key }) => key === 'database')?.value).toBe('postgres://hub@db.example.com:5433/fleet');
    const printed = [JSON.stringify(config), inspect(config), String(config.database), JSON.stringify(lines)].join();
    expect(printed).not.toContain('s3cret');
    expect(warnings).toEqual(['--database: other users can see it in the list of processes; prefer HOLDFAST_DATABASE']);
    const file = { text: `database: ${database}`, mode: 0o100644 };
    expect(loadedHub({ files: { '/work/holdfast-hub.yaml': file } }).warnings).toEqual([
      'holdfast-hub.yaml: holds the password of the database and every user of this machine can read it; run chmod 600 holdfast-hub.yaml',
    ]);
    expect(loadedHub({ flags: { database: 'postgres://hub@db/fleet' } }).warnings).toEqual([]);
  });

  it.each(['mysql://a:s3cret@h/d', 'postgres://a:s3cret@h', 'a:s3cret@h/d', 'postgres:///d'])(
    'refuses %s as a database without repeating it',
    (database) => {
      expect(hubProblems({ flags: { database } })).toEqual([
        '--database: this is not the URL of a PostgreSQL database — use a URL like postgres://USER:PASSWORD@HOST:5432/DATABASE',
      ]);
    },
  );
});

describe('warnings', () => {
  it('name a listener that others can reach and a secret that others can see', () => {
    const { warnings } = loaded({ flags: { http: '0.0.0.0:7480', secret: SECRET }, env: { HOLDFAST_RESP: 'off' } });
    expect(warnings).toHaveLength(2);
    expect(warnings[0]).toContain('--secret: ');
    expect(warnings[1]).toMatch(/^--http: anyone who can reach 0\.0\.0\.0/);
  });

  it('leave variables that a container platform injects alone', () => {
    const { warnings } = loaded({ env: { HOLDFAST_SERVICE_HOST: '10.0.0.1', HOLDFAST_API: 'x', HOME: '/' } });
    expect(warnings).toEqual(['HOLDFAST_SERVICE_HOST: unknown environment variable, ignored']);
  });
});

describe('robustness', () => {
  const keys = fc.oneof(fc.constantFrom(...CONFIG_KEYS.map(({ key }) => key), 'tuning', '__proto__'), fc.string());

  it('random objects as YAML load or are refused, but never throw', () => {
    fc.assert(
      fc.property(fc.dictionary(keys, fc.anything({ maxDepth: 2, withBigInt: true, withDate: true })), (value) => {
        let text: string;
        try {
          text = stringify(value);
        } catch {
          return;
        }
        const result = load(yaml(text));
        if (!result.ok) for (const problem of result.problems) expect(problem.fix).not.toBe('');
      }),
      { numRuns: 300 },
    );
  });

  it('random values of real keys too, from every source', () => {
    const entry = fc.tuple(fc.constantFrom(...CONFIG_KEYS), fc.oneof(fc.string(), fc.string({ unit: 'binary' })));
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 6 }), (entries) => {
        const env = Object.fromEntries(entries.map(([key, text]) => [key.variable, text]));
        const flags = Object.fromEntries(entries.map(([key, text]) => [key.key, key.type === 'list' ? [text] : text]));
        load({ env });
        load({ flags });
      }),
      { numRuns: 300 },
    );
  });

  it('random text is refused or read, but never throws', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        load(yaml(text));
        load(yaml(`name: a\nseeds: ${text}`));
      }),
      { numRuns: 300 },
    );
  });
});

describe('the table of keys', () => {
  it('has unique keys, flags and variables, and says something of each', () => {
    for (const keys of [CONFIG_KEYS, HUB_KEYS]) {
      for (const field of ['key', 'flag', 'variable'] as const) {
        const names = keys.map((key) => key[field]).filter((text) => text !== null);
        expect(new Set(names).size).toBe(names.length);
      }
    }
    for (const key of [...CONFIG_KEYS, ...HUB_KEYS]) {
      expect(key.meaning).toMatch(/^[A-Z].*\.$/);
      expect(key.variable).toMatch(/^HOLDFAST_[A-Z_]+$/);
    }
  });
});
