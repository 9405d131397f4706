import { readFileSync, statSync } from 'node:fs';
import type { ConfigFlags } from '../config/environment.ts';
import type { HubConfig } from '../config/hub-config.ts';
import { type ConfigInput, type ConfigResult, loadConfig, loadHubConfig } from '../config/load.ts';
import type { CliContext } from './context.ts';

/** The configuration that a node would start with. */
export function loadConfigOf(context: CliContext, flags: ConfigFlags): ConfigResult {
  return loadConfig(inputOf(context, flags));
}

/** The configuration that a hub would start with. */
export function loadHubConfigOf(context: CliContext, flags: ConfigFlags): ConfigResult<HubConfig> {
  return loadHubConfig(inputOf(context, flags));
}

function inputOf({ env, cwd, hostName, isTTY }: CliContext, flags: ConfigFlags): ConfigInput {
  const readFile = (path: string) => ({ text: readFileSync(path, 'utf8'), mode: statSync(path).mode });
  return { flags, env, cwd, hostName, isTTY, readFile };
}
