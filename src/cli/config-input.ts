import { readFileSync, statSync } from 'node:fs';
import type { ConfigFlags } from '../config/environment.ts';
import { type ConfigResult, loadConfig } from '../config/load.ts';
import type { CliContext } from './context.ts';

/** The configuration that this process would start with. */
export function loadConfigOf(context: CliContext, flags: ConfigFlags): ConfigResult {
  const { env, cwd, hostName, isTTY } = context;
  const readFile = (path: string) => ({ text: readFileSync(path, 'utf8'), mode: statSync(path).mode });
  return loadConfig({ flags, env, cwd, hostName, isTTY, readFile });
}
