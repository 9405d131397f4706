import type { Command } from 'commander';
import { keyPath } from '../client.ts';
import type { CliContext } from '../context.ts';
import { contextOption, examples, levelOption } from '../options.ts';
import { openSession } from '../session.ts';
import { printWritten } from '../written.ts';

interface DelOptions {
  readonly level?: string;
  readonly context?: string;
}

export function addDelCommand(program: Command, context: CliContext): void {
  program
    .command('del')
    .description('delete a value; not an error when there is none')
    .argument('<bucket>', 'name of the bucket')
    .argument('<key>', 'key')
    .addOption(levelOption('have it on disk'))
    .addOption(contextOption('replace what that has seen'))
    .addHelpText('after', examples('holdfast del default greeting', 'holdfast del default greeting --level all'))
    .action(async (bucket: string, key: string, options: DelOptions, command: Command) => {
      const session = openSession(command, context);
      const headers: Record<string, string> = {};
      if (options.context !== undefined) headers['Holdfast-Context'] = options.context;
      const request = { method: 'DELETE', query: { w: options.level }, headers } as const;
      await printWritten(session, 'deleted', key, await session.client.request(keyPath(bucket, key), request));
    });
}
