import { fileURLToPath } from 'node:url';

/**
 * The import rules of ARCHITECTURE.md. test/boundaries/import-rules.test.ts breaks every rule once and expects it to fire,
 * and checks that the real run has seen every source file.
 */

/** Modules of these folders see nothing but the listed ones (and themselves). */
const within = (folder, allowed, { npm = true, core = true } = {}) => ({
  name: `${folder.replaceAll('/', '-')}-imports`,
  comment: `src/${folder} may import only ${allowed.length === 0 ? 'itself' : allowed.join(', ')}`,
  severity: 'error',
  from: { path: `^src/${folder}/` },
  to: {
    pathNot: [`^src/(${[folder, ...allowed].join('|')})/`, ...(npm ? ['(^|/)node_modules/'] : [])],
    ...(core ? { dependencyTypesNot: ['core'] } : {}),
  },
});

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    {
      name: 'no-circular',
      comment: 'No cycles anywhere; move the shared concept into a module of its own.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no-unresolvable',
      comment: 'An import that leads nowhere.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'no-undeclared-package',
      comment: 'An npm package that package.json does not list.',
      severity: 'error',
      from: {},
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown'] },
    },
    {
      name: 'no-dev-dependency-in-src',
      comment: 'The program runs without development packages.',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'src-imports',
      comment: 'The program does not import its tests or scripts.',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(test|scripts)/' },
    },
    within('lib', [], { npm: false, core: false }),
    {
      name: 'protocol-imports',
      comment: 'A core sees lib, the machine contract and the causal data types; only node/ composes its siblings.',
      severity: 'error',
      from: { path: '^src/protocol/([^/]+)/', pathNot: '^src/protocol/node/' },
      to: { pathNot: ['^src/lib/', '^src/protocol/machine\\.ts$', '^src/protocol/causal/', '^src/protocol/$1/'] },
    },
    {
      name: 'protocol-node-imports',
      comment: 'node/ composes the cores and stays pure.',
      severity: 'error',
      from: { path: '^src/protocol/(node/|[^/]+$)' },
      to: { pathNot: ['^src/lib/', '^src/protocol/'] },
    },
    {
      name: 'protocol-without-data-imports',
      comment: 'Membership, ring and election hold no replicated data, and registers none that is causal.',
      severity: 'error',
      from: { path: '^src/protocol/(membership|ring|election|electorate|island|register)/' },
      to: { path: '^src/protocol/causal/' },
    },
    within('ports', ['protocol', 'lib'], { npm: false, core: false }),
    within('wire', ['ports', 'protocol', 'lib'], { npm: false }),
    within('config', ['protocol', 'lib']),
    within('runtime', ['protocol', 'wire', 'config', 'ports', 'lib']),
    {
      name: 'adapters-imports',
      comment: 'An adapter sees ports, wire and lib; never another adapter.',
      severity: 'error',
      from: { path: '^src/adapters/([^/]+)/' },
      to: { path: '^src/', pathNot: ['^src/(ports|wire|lib)/', '^src/adapters/$1/'] },
    },
    within('api', ['ports', 'wire', 'config', 'lib']),
    within('hub', ['protocol', 'ports', 'wire', 'config', 'lib']),
    within('cli', ['config', 'lib']),
    within('demo', ['ports', 'config', 'lib'], { npm: false }),
    {
      name: 'adapters-are-constructed-in-main',
      comment: 'Only src/main.ts constructs adapters.',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/main\\.ts$', '^src/adapters/'] },
      to: { path: '^src/adapters/' },
    },
    {
      name: 'main-is-the-root',
      comment: 'Nothing imports the composition root.',
      severity: 'error',
      from: {},
      to: { path: '^src/main\\.ts$' },
    },
    {
      name: 'simulation-imports',
      comment: 'The simulator runs the cores without any real input or output.',
      severity: 'error',
      from: { path: '^test/simulation/' },
      to: { path: '^src/(adapters|api|cli)/' },
    },
  ],
  options: {
    tsConfig: { fileName: fileURLToPath(new URL('tsconfig.json', import.meta.url)) },
    tsPreCompilationDeps: true,
    detectProcessBuiltinModuleCalls: true,
    doNotFollow: { path: ['(^|/)node_modules/'] },
    exclude: { path: ['^dist/'] },
    enhancedResolveOptions: {
      extensions: ['.ts', '.mjs', '.cjs', '.js', '.json', '.node'],
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};
