import { randomBytes } from 'node:crypto';
import type { Command } from 'commander';
import type { CliContext } from '../context.ts';
import { examples } from '../options.ts';
import { openSession } from '../session.ts';

const SECRET_BYTES = 32;

export function addSecretCommand(program: Command, context: CliContext): void {
  program
    .command('secret')
    .description('print a fresh cluster secret; all nodes of a cluster are started with the same one')
    .addHelpText('after', examples('(umask 077; holdfast secret > secret)', 'holdfast start --secret-file secret'))
    .action(async (_options, command: Command) => {
      const { terminal, json } = openSession(command, context);
      const secret = randomBytes(SECRET_BYTES).toString('hex');
      await (json ? terminal.json({ secret }) : terminal.line(secret));
    });
}
