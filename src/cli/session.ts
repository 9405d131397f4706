import type { Command } from 'commander';
import { ApiClient } from './client.ts';
import type { CliContext } from './context.ts';
import { Terminal } from './terminal.ts';

export const DEFAULT_API = 'http://127.0.0.1:7480';

/** What a command works with: the global options resolved, the node's API and the terminal. */
export interface Session {
  readonly context: CliContext;
  readonly client: ApiClient;
  readonly terminal: Terminal;
  /** Machine-readable output was asked for. */
  readonly json: boolean;
}

/** `command` is the one that runs; its ancestors hold the global options. */
export function openSession(command: Command, context: CliContext): Session {
  const { api, json } = command.optsWithGlobals<{ api?: string; json?: boolean }>();
  return {
    context,
    client: new ApiClient(api ?? (context.env.HOLDFAST_API || DEFAULT_API), context.fetch),
    terminal: new Terminal(context, json === true),
    json: json === true,
  };
}
