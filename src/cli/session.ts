import type { Command } from 'commander';
import { type ApiTarget, NODE_API } from './api-target.ts';
import { ApiClient } from './client.ts';
import type { CliContext } from './context.ts';
import { Terminal } from './terminal.ts';

/** What a command works with: the global options resolved, the API of a node or hub, and the terminal. */
export interface Session {
  readonly context: CliContext;
  readonly client: ApiClient;
  readonly terminal: Terminal;
  /** Machine-readable output was asked for. */
  readonly json: boolean;
}

/** `command` is the one that runs; its ancestors hold the global options. */
export function openSession(command: Command, context: CliContext, target: ApiTarget = NODE_API): Session {
  const { api, json } = command.optsWithGlobals<{ api?: string; json?: boolean }>();
  return {
    context,
    client: new ApiClient(api ?? (context.env.HOLDFAST_API || target.defaultApi), context.fetch, target),
    terminal: new Terminal(context, json === true),
    json: json === true,
  };
}
