import { execFileSync, type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const root = resolve(import.meta.dirname, '../..');
const configFile = join(root, '.dependency-cruiser.mjs');

interface CruiseReport {
  readonly modules: readonly { readonly source: string; readonly dependencies: readonly { resolved: string }[] }[];
  readonly summary: {
    readonly violations: readonly { readonly from: string; readonly to: string; readonly rule: { name: string } }[];
    readonly totalCruised: number;
  };
}

function depcruise(folder: string, outputType: 'json' | 'err', paths: readonly string[]): SpawnSyncReturns<string> {
  const binary = join(root, 'node_modules/.bin/depcruise');
  return spawnSync(process.execPath, [binary, '--config', configFile, '-T', outputType, ...paths], {
    cwd: folder,
    encoding: 'utf8',
    maxBuffer: 256 * 1024 * 1024,
  });
}

function cruise(folder: string, paths: readonly string[]): CruiseReport {
  const result = depcruise(folder, 'json', paths);
  expect(result.stderr).toBe('');
  return JSON.parse(result.stdout) as CruiseReport;
}

/** Each line breaks exactly one rule once: importer, imported, the rule that must fire. */
const forbidden: readonly (readonly [from: string, to: string, rule: string])[] = [
  ['src/lib/imports-node.ts', 'node:fs', 'lib-imports'],
  ['src/lib/imports-package.ts', 'zod', 'lib-imports'],
  // Its entry lies in a folder of the name of our own build folder, which is left out.
  ['src/lib/imports-built-package.ts', '@libp2p/interface', 'lib-imports'],
  ['src/lib/imports-protocol.ts', 'src/protocol/machine.ts', 'lib-imports'],
  ['src/protocol/ring/imports-node.ts', 'node:crypto', 'protocol-imports'],
  ['src/protocol/ring/imports-package.ts', 'zod', 'protocol-imports'],
  ['src/protocol/ring/imports-sibling.ts', 'src/protocol/membership/member.ts', 'protocol-imports'],
  ['src/protocol/ring/imports-port.ts', 'src/ports/clock.ts', 'protocol-imports'],
  ['src/protocol/membership/imports-data.ts', 'src/protocol/causal/dot.ts', 'protocol-without-data-imports'],
  ['src/protocol/register/imports-data.ts', 'src/protocol/causal/dot.ts', 'protocol-without-data-imports'],
  ['src/protocol/register/imports-sibling.ts', 'src/protocol/replication/record.ts', 'protocol-imports'],
  ['src/protocol/node/imports-node.ts', 'node:os', 'protocol-node-imports'],
  ['src/protocol/node/imports-runtime.ts', 'src/runtime/driver.ts', 'protocol-node-imports'],
  ['src/ports/imports-runtime.ts', 'src/runtime/driver.ts', 'ports-imports'],
  ['src/ports/imports-package.ts', 'zod', 'ports-imports'],
  ['src/wire/imports-config.ts', 'src/config/schema.ts', 'wire-imports'],
  ['src/config/imports-wire.ts', 'src/wire/codec.ts', 'config-imports'],
  ['src/runtime/imports-api.ts', 'src/api/server.ts', 'runtime-imports'],
  ['src/adapters/level/imports-sibling.ts', 'src/adapters/libp2p/host.ts', 'adapters-imports'],
  ['src/adapters/level/imports-protocol.ts', 'src/protocol/causal/dot.ts', 'adapters-imports'],
  ['src/api/imports-runtime.ts', 'src/runtime/driver.ts', 'api-imports'],
  ['src/hub/imports-runtime.ts', 'src/runtime/driver.ts', 'hub-imports'],
  ['src/demo/imports-cli.ts', 'src/cli/client.ts', 'demo-imports'],
  ['src/demo/imports-package.ts', 'zod', 'demo-imports'],
  ['src/cli/imports-port.ts', 'src/ports/clock.ts', 'cli-imports'],
  ['src/runtime/constructs-adapter.ts', 'src/adapters/libp2p/host.ts', 'adapters-are-constructed-in-main'],
  ['src/api/imports-main.ts', 'src/main.ts', 'main-is-the-root'],
  ['src/adapters/system/imports-test.ts', 'test/support/fixture.ts', 'src-imports'],
  ['src/adapters/system/imports-dev.ts', 'fast-check', 'no-dev-dependency-in-src'],
  ['src/adapters/system/imports-nothing.ts', 'src/ports/missing.ts', 'no-unresolvable'],
  ['src/adapters/system/imports-undeclared.ts', 'undeclared-package', 'no-undeclared-package'],
  ['test/simulation/imports-adapter.ts', 'src/adapters/libp2p/host.ts', 'simulation-imports'],
  ['src/lib/cycle-a.ts', 'src/lib/cycle-b.ts', 'no-circular'],
  ['src/lib/imports-as-type.ts', 'src/protocol/machine.ts', 'lib-imports'],
];

const allowed: readonly (readonly [from: string, to: string])[] = [
  ['src/main.ts', 'src/adapters/libp2p/host.ts'],
  ['src/protocol/node/composes.ts', 'src/protocol/membership/member.ts'],
  ['src/protocol/replication/stores.ts', 'src/protocol/causal/dot.ts'],
  ['src/hub/reads.ts', 'src/protocol/causal/dot.ts'],
  ['src/config/parses.ts', 'zod'],
  ['src/config/reads.ts', 'node:fs'],
  ['src/demo/spawns.ts', 'node:child_process'],
  ['src/adapters/system/samples.ts', 'node:os'],
  ['test/integration/constructs.ts', 'src/adapters/libp2p/host.ts'],
  ['src/lib/cycle-b.ts', 'src/lib/cycle-a.ts'],
];

function writeTree(folder: string): void {
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  };
  const edges: readonly (readonly [from: string, to: string])[] = [
    ...forbidden.map(([from, to]) => [from, to] as const),
    ...allowed,
  ];
  const importers = new Set(edges.map(([from]) => from));
  for (const [from, to] of edges) {
    const isFile = /^(src|test)\//.test(to);
    const upwards = '../'.repeat(from.split('/').length - 1);
    const specifier = isFile ? upwards + to : to;
    const keyword = from.includes('as-type') ? 'import type' : 'import';
    write(from, `${keyword} * as imported from '${specifier}';\nexport type Imported = typeof imported;\n`);
    if (isFile && !importers.has(to) && !to.endsWith('missing.ts')) write(to, 'export const value = 1;\n');
  }
  write('package.json', readFileSync(join(root, 'package.json'), 'utf8'));
  mkdirSync(join(folder, 'node_modules/undeclared-package'), { recursive: true });
  write('node_modules/undeclared-package/package.json', '{"name":"undeclared-package","main":"index.js"}');
  write('node_modules/undeclared-package/index.js', '');
  for (const name of ['zod', 'fast-check', '@libp2p/interface']) {
    mkdirSync(dirname(join(folder, 'node_modules', name)), { recursive: true });
    symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name));
  }
}

describe('import rules', () => {
  let folder: string;
  let report: CruiseReport;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'hf-import-rules-'));
    writeTree(folder);
    report = cruise(folder, ['src', 'test']);
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const rulesFiredBy = (from: string): string[] => [
    ...new Set(report.summary.violations.filter((violation) => violation.from === from).map(({ rule }) => rule.name)),
  ];

  test('a tree with forbidden imports fails', () => {
    expect(depcruise(folder, 'err', ['src', 'test']).status).toBeGreaterThan(0);
  });

  test.each(forbidden)('%s must not import %s: %s', (from, _to, rule) => {
    expect(rulesFiredBy(from)).toContain(rule);
  });

  test.each(allowed)('%s may import %s', (from) => {
    expect(rulesFiredBy(from)).toEqual([]);
  });

  test('every rule has a line in the table above', () => {
    const listed = execFileSync(
      process.execPath,
      [
        '-e',
        `import(${JSON.stringify(configFile)}).then((m) => console.log(JSON.stringify(m.default.forbidden.map((r) => r.name))))`,
      ],
      { encoding: 'utf8' },
    );
    const broken = new Set(forbidden.map(([, , rule]) => rule));
    expect((JSON.parse(listed) as string[]).filter((name) => !broken.has(name))).toEqual([]);
  });
});

describe('the sources', () => {
  const report = cruise(root, ['src', 'test', 'scripts']);

  // A dependency-cruiser without a usable TypeScript sees no modules and reports success.
  test('every source file was seen, with its imports', () => {
    const seen = new Map(report.modules.map((module) => [module.source, module.dependencies.length]));
    const files = globSync('{src,test,scripts}/**/*.ts', { cwd: root });
    expect(files.length).toBeGreaterThan(20);
    expect(files.filter((file) => !seen.has(file))).toEqual([]);
    const importing = files.filter((file) => /^import .* from '/m.test(readFileSync(join(root, file), 'utf8')));
    expect(importing.filter((file) => seen.get(file) === 0)).toEqual([]);
  });

  test('no import breaks a rule', () => {
    expect(report.summary.violations.map(({ from, to, rule }) => `${rule.name}: ${from} -> ${to}`)).toEqual([]);
  });
});
