/**
 * Preloaded with `node --import`: plants the bug named by HOLDFAST_MUTATION while its module loads. Production code
 * thus has no hooks for it.
 */
import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { fileURLToPath } from 'node:url';
import { MUTATIONS } from './mutations.ts';
import { mutated } from './source.ts';

const name = process.env['HOLDFAST_MUTATION'];
const mutation = MUTATIONS.find((candidate) => candidate.name === name);
if (mutation === undefined) throw new Error(`there is no mutation named ${String(name)}`);

const target = new URL(`../../../src/${mutation.file}`, import.meta.url).href;
const source = mutated(readFileSync(fileURLToPath(target), 'utf8'), mutation);
let isPlanted = false;

registerHooks({
  load(url, context, nextLoad) {
    if (url !== target) return nextLoad(url, context);
    isPlanted = true;
    return { format: 'module-typescript', source, shortCircuit: true };
  },
});

process.on('exit', () => {
  if (isPlanted) return;
  process.stderr.write(`the run never loaded src/${mutation.file}\n`);
  process.exitCode = 2;
});
