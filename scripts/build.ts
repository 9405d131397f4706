/**
 * `npm run build`: one bundle that needs nothing but Node, dist/holdfast.mjs, and beside it the prebuilt binaries of the
 * storage engine, one folder a platform, from which the right one is chosen at run time.
 */
import { chmodSync, cpSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';

const root = resolve(import.meta.dirname, '..');
const outDir = join(root, 'dist');
const outFile = join(outDir, 'holdfast.mjs');

/** CommonJS packages inside the bundle expect these names; classic-level looks for `prebuilds` beside `__dirname`. */
const commonJsNames = `
import { createRequire as holdfastCreateRequire } from 'node:module';
import { dirname as holdfastDirname } from 'node:path';
import { fileURLToPath as holdfastFileUrlToPath } from 'node:url';
const require = holdfastCreateRequire(import.meta.url);
const __filename = holdfastFileUrlToPath(import.meta.url);
const __dirname = holdfastDirname(__filename);
`;

rmSync(outDir, { recursive: true, force: true });
mkdirSync(outDir);
const result = await build({
  entryPoints: [join(root, 'src/main.ts')],
  outfile: outFile,
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node22.13',
  format: 'esm',
  mainFields: ['module', 'main'],
  banner: { js: `#!/usr/bin/env node${commonJsNames}` },
  define: { 'process.env.NODE_ENV': '"production"' },
  legalComments: 'linked',
  sourcemap: 'linked',
  sourcesContent: false,
  metafile: true,
  logLevel: 'warning',
});
chmodSync(outFile, 0o755);
cpSync(join(root, 'node_modules/classic-level/prebuilds'), join(outDir, 'prebuilds'), { recursive: true });
writeFileSync(join(outDir, 'package.json'), `${JSON.stringify({ type: 'module', private: true }, undefined, 2)}\n`);

const moduleCount = Object.keys(result.metafile.inputs).length;
const kibibytes = Math.round(statSync(outFile).size / 1024);
console.log(`dist/holdfast.mjs: ${kibibytes} KiB from ${moduleCount} modules`);
