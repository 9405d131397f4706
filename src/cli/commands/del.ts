import type { Command } from 'commander';
import { apiOf } from '../api-target.ts';
import { keyPath } from '../client.ts';
import type { CliContext } from '../context.ts';
import { conditionHeaders, contextOption, examples, ifMatchOption, levelOption, siteOption } from '../options.ts';
import { openSession } from '../session.ts';
import { printWritten } from '../written.ts';

interface DelOptions {
  readonly site?: string;
  readonly level?: string;
  readonly context?: string;
  readonly ifMatch?: string;
}

export function addDelCommand(program: Command, context: CliContext): void {
  program
    .command('del')
    .description('delete a value; not an error when there is none')
    .argument('<bucket>', 'name of the bucket')
    .argument('<key>', 'key')
    .addOption(levelOption('have it on disk'))
    .addOption(contextOption('replace what that has seen'))
    .addOption(ifMatchOption('delete'))
    .addOption(siteOption())
    .addHelpText('after', examples('holdfast del default greeting', 'holdfast del default greeting --level all'))
    .action(async (bucket: string, key: string, options: DelOptions, command: Command) => {
      const session = openSession(command, context, apiOf(options.site));
      const headers: Record<string, string> = conditionHeaders(options);
      if (options.context !== undefined) headers['Holdfast-Context'] = options.context;
      const request = { method: 'DELETE', query: { w: options.level }, headers } as const;
      const response = await session.client.request(keyPath(bucket, key, options.site), request);
      if (!session.json && isNothing(response)) return session.terminal.line(nothingText(response, options));
      return printWritten(session, 'deleted', key, response);
    });
}

/** No node had to store anything: there was nothing to delete. */
function isNothing({ headers }: Response): boolean {
  const acks = headers.get('holdfast-acks');
  // A strong bucket counts none, and names the version of what it has written.
  return acks === null ? !headers.has('etag') : acks.startsWith('0/');
}

function nothingText({ headers }: Response, { context }: DelOptions): string {
  const what = context === undefined ? 'there is no such key' : 'there is nothing that the context has seen';
  const doubt = headers.get('holdfast-quorum') === 'sloppy' ? ', as far as the asked node knows' : '';
  return `nothing deleted: ${what}${doubt}`;
}
