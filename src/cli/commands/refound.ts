import type { Command } from 'commander';
import type { CliContext } from '../context.ts';
import { CliError } from '../errors.ts';
import { readLines } from '../line-reader.ts';
import { examples } from '../options.ts';
import { openSession, type Session } from '../session.ts';
import { REFOUND, type Refound, readShape } from '../shapes.ts';
import type { Terminal } from '../terminal.ts';
import { plural, printable } from '../text.ts';

const PATH = '/v1/ring/refound';
const CAUTION = `
Only for members that never come back: broken, stolen, wiped. Run it once, at one node, on one side of a partition:
two sides that go on without each other never become one again. While a majority is there, use \`holdfast ring remove\`.`;
const ANSWER = 'yes';

interface RefoundOptions {
  readonly lost: readonly string[];
  readonly yes?: boolean;
}

export function addRefoundCommand(ring: Command, context: CliContext): void {
  ring
    .command('refound')
    .description('go on without a majority that is lost for good: strong buckets work again, with what the others have')
    .requiredOption('--lost <name>', 'name or peer id of a lost member; once for each', namesOf)
    .option('--yes', 'it is meant')
    .addHelpText('after', CAUTION)
    .addHelpText('after', examples('holdfast ring refound --lost n3 --lost n4 --lost n5'))
    .action(async ({ lost, yes }: RefoundOptions, command: Command) => {
      const session = openSession(command, context);
      const { terminal, json } = session;
      if (yes !== true) await confirm(session, lost);
      const answer = await ask(session, lost, false);
      if (json) return terminal.json(answer);
      const { epoch, electors } = readShape(REFOUND, answer);
      await terminal.line(`strong buckets are decided by ${listOf(electors)} from now on: epoch ${epoch}`);
    });
}

/** Returns where it is meant. */
async function confirm(session: Session, lost: readonly string[]): Promise<void> {
  const { context, terminal, json } = session;
  const plan = readShape(REFOUND, await ask(session, lost, true));
  const lines = warningOf(terminal, plan);
  if (json || !terminal.isTTY) {
    throw new CliError([...lines, 'nothing was changed — repeat with --yes if it is meant'], 'bad-usage');
  }
  await terminal.write(`${lines.join('\n')}\n\nGo on without them? Type ${ANSWER}: `);
  for await (const line of readLines(context.stdin)) {
    if (line.trim() === ANSWER) return;
    break;
  }
  throw new CliError(`nothing was changed — the answer was not ${ANSWER}`, 'failed');
}

function warningOf(terminal: Terminal, { electors, lost, shards, atRisk, emptied }: Refound): string[] {
  return [
    `${listOf(lost)} would be given up for good; ${listOf(electors)} would decide about strong buckets`,
    `of ${plural(shards, 'shard')} of strong buckets, ${atRisk} have lost a majority: values that only the lost members had are gone`,
    `of these, nobody is left of ${emptied}: all their values are gone`,
    terminal.colour('red', 'run it once, on one side, and only where the lost members never come back'),
  ];
}

function ask({ client }: Session, lost: readonly string[], dryRun: boolean): Promise<unknown> {
  return client.json(PATH, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ lost, dryRun }),
  });
}

function namesOf(name: string, before: readonly string[] = []): readonly string[] {
  return [...before, name];
}

function listOf(names: readonly string[]): string {
  return names.map(printable).join(', ');
}
