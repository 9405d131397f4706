/** Imported before everything else: other modules may already fail to load where Node.js is too old. */

import packageJson from '../package.json' with { type: 'json' };
import { nodeVersionRefusal } from './cli/node-version.ts';

const refusal = nodeVersionRefusal(packageJson.engines.node, process.versions.node, process.argv.slice(2));
if (refusal !== null) {
  process.stderr.write(`${refusal}\n`);
  process.exit(1);
}
