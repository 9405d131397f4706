/**
 * `npm test`: the static checks, then every test project, then one last line `N passed, N failed[, N skipped]`.
 * Each static check counts as one test. With arguments (`npm test -- test/unit/ring`) only those tests run.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, chmodSync, constants, mkdtempSync, readFileSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

interface Totals {
  passed: number;
  failed: number;
  skipped: number;
}

interface VitestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
}

const root = resolve(import.meta.dirname, '..');

/** A file system in memory, as Linux has it, and the space that the tests' files need at most. */
const MEMORY_FOLDER = '/dev/shm';
const MEMORY_BYTES_MIN = 4 * 1024 ** 3;

/**
 * Where the tests keep their files. In memory where there is room: a disk that other machines share may stall for ten
 * seconds, and the nodes under test would rightly say so to their clients. Who sets TMPDIR decides for himself.
 */
function temporaryFolder(): string {
  if (process.env['TMPDIR'] !== undefined) return tmpdir();
  try {
    accessSync(MEMORY_FOLDER, constants.W_OK);
    const { bavail, bsize } = statfsSync(MEMORY_FOLDER);
    return bavail * bsize >= MEMORY_BYTES_MIN ? MEMORY_FOLDER : tmpdir();
  } catch {
    return tmpdir();
  }
}

function runBinary(name: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): boolean {
  const binary = join(root, 'node_modules/.bin', name);
  const { status, error } = spawnSync(binary, args, { cwd: root, env, stdio: 'inherit' });
  if (error !== undefined) console.error(`${name} did not start: ${error.message}`);
  return status === 0;
}

function runStaticChecks(totals: Totals): void {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> };
  const order = ['check:format', 'check:lint', 'check:types', 'check:imports', 'check:dead'];
  for (const script of order) {
    const [name, ...args] = (manifest.scripts[script] ?? '').split(' ');
    if (name === undefined || name === '') throw new Error(`package.json has no script ${script}`);
    console.log(`\n> ${script}: ${name} ${args.join(' ')}`);
    if (runBinary(name, args)) totals.passed += 1;
    else {
      totals.failed += 1;
      console.error(`FAIL ${script}`);
    }
  }
}

/** Runs vitest and adds its counts; a run that dies without a report, or fails outside of a test, counts as one failure. */
function runTests(args: readonly string[], totals: Totals): void {
  const folder = mkdtempSync(join(temporaryFolder(), 'hf-test-'));
  // A database server that a test starts as another user has to get through it.
  chmodSync(folder, 0o711);
  const reportFile = join(folder, 'report.json');
  console.log(`\n> tests; their files are in ${folder}`);
  try {
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${reportFile}`];
    const succeeded = runBinary('vitest', ['run', ...reporters, ...args], { ...process.env, TMPDIR: folder });
    const failedBefore = totals.failed;
    addReport(reportFile, totals);
    if (!succeeded && totals.failed === failedBefore) totals.failed += 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function addReport(reportFile: string, totals: Totals): void {
  let report: VitestReport;
  try {
    report = JSON.parse(readFileSync(reportFile, 'utf8')) as VitestReport;
  } catch (error) {
    console.error(`vitest left no report: ${String(error)}`);
    return;
  }
  totals.passed += report.numPassedTests;
  totals.failed += report.numFailedTests;
  totals.skipped += report.numPendingTests + report.numTodoTests;
}

const totals: Totals = { passed: 0, failed: 0, skipped: 0 };
const filters = process.argv.slice(2);
if (filters.length === 0) runStaticChecks(totals);
runTests(filters, totals);

const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : '';
console.log(`\n${totals.passed} passed, ${totals.failed} failed${skipped}`);
process.exitCode = totals.failed === 0 && totals.passed > 0 ? 0 : 1;
