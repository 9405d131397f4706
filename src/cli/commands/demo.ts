import { type Command, Option } from 'commander';
import type { CliContext } from '../context.ts';
import { examples, wholeNumber } from '../options.ts';

const NODES_MIN = 3;
const NODES_MAX = 16;
const SECONDS_MAX = 86_400;

interface DemoFlags {
  readonly nodes: number;
  readonly tty: boolean;
  readonly seconds?: number;
  readonly keep?: boolean;
}

export function addDemoCommand(program: Command, context: CliContext): void {
  program
    .command('demo')
    .description(
      'run a live cluster and its hub on this machine with a scripted story: form, write, kill, return, cut, reconcile',
    )
    .addOption(new Option('--nodes <n>', 'number of nodes').argParser(wholeNumber(NODES_MIN, NODES_MAX)).default(5))
    .option('--no-tty', 'print plain lines instead of the live view')
    .addOption(
      new Option('--seconds <n>', 'length of the steady part of the story').argParser(wholeNumber(1, SECONDS_MAX)),
    )
    .option('--keep', 'keep the data directories of the nodes and the hub')
    .addHelpText('after', examples('holdfast demo', 'holdfast demo --nodes 3 --no-tty --seconds 20'))
    .action(({ nodes, tty, seconds, keep }: DemoFlags) =>
      context.runDemo({ nodes, tty: tty && context.isTTY, seconds: seconds ?? null, keep: keep === true }),
    );
}
