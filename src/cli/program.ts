import { Command, CommanderError } from 'commander';
import { redact } from '../config/secret.ts';
import { addBucketCommand } from './commands/bucket.ts';
import { addCompletionCommand } from './commands/completion.ts';
import { addConfigCommand } from './commands/config.ts';
import { addDelCommand } from './commands/del.ts';
import { addDemoCommand } from './commands/demo.ts';
import { addEventsCommand } from './commands/events.ts';
import { addGetCommand } from './commands/get.ts';
import { addMembersCommand } from './commands/members.ts';
import { addPutCommand } from './commands/put.ts';
import { addRingCommand } from './commands/ring.ts';
import { addScanCommand } from './commands/scan.ts';
import { addSecretCommand } from './commands/secret.ts';
import { addStartCommand } from './commands/start.ts';
import { addStatusCommand } from './commands/status.ts';
import { addWatchCommand } from './commands/watch.ts';
import type { CliContext } from './context.ts';
import { BrokenPipeError, CliError, EXIT_DONE, EXIT_FAILED, EXIT_USAGE } from './errors.ts';
import { examples } from './options.ts';
import { DEFAULT_API } from './session.ts';

const EXIT_STATUS = '\nExit status: 0 done, 1 failed, 2 bad usage.';

/** The command line. Nothing runs before `parseAsync`; prefer `runCli`, which also reports errors. */
export function buildProgram(context: CliContext): Command {
  const program = new Command('holdfast')
    .description('Keeps a fleet of edge devices alive and consistent when networks, neighbours and the cloud fail.')
    .version(context.version, '-V, --version', 'print the version')
    .option('--api <url>', `the node's HTTP API (default: ${DEFAULT_API}; HOLDFAST_API)`)
    .option('--json', 'print for machines')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => void context.stdout.write(text),
      writeErr: (text) => void context.stderr.write(text),
      outputError: (text, write) => write(usageText(text)),
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .exitOverride();
  for (const add of COMMANDS) add(program, context);
  return program.addHelpText(
    'after',
    `${examples('holdfast demo', 'holdfast start', 'holdfast put default greeting hello', 'holdfast get default greeting')}\n${EXIT_STATUS}`,
  );
}

const COMMANDS: readonly ((program: Command, context: CliContext) => void)[] = [
  addStartCommand,
  addDemoCommand,
  addSecretCommand,
  addStatusCommand,
  addMembersCommand,
  addRingCommand,
  addEventsCommand,
  addGetCommand,
  addPutCommand,
  addDelCommand,
  addScanCommand,
  addWatchCommand,
  addBucketCommand,
  addConfigCommand,
  addCompletionCommand,
];

/** Runs one command line (without the names of the runtime and the script) and returns the exit status. Never throws. */
export async function runCli(args: readonly string[], context: CliContext): Promise<number> {
  // A reader that goes away is reported by the write that fails; without a listener it would end the process. The
  // event comes after that report, so the listeners stay.
  const ignore = (): void => undefined;
  context.stdout.on('error', ignore);
  context.stderr.on('error', ignore);
  try {
    await buildProgram(context).parseAsync(args, { from: 'user' });
    return EXIT_DONE;
  } catch (error) {
    return report(error, context);
  }
}

function report(error: unknown, context: CliContext): number {
  const print = (line: string): void => void context.stderr.write(`holdfast: ${line}\n`);
  if (error instanceof BrokenPipeError) return EXIT_DONE;
  // Commander has already printed its own.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT_DONE : EXIT_USAGE;
  if (error instanceof CliError) {
    for (const line of error.lines) print(line);
    return error.status;
  }
  if (!(error instanceof Error)) {
    print(redact(String(error)));
    return EXIT_FAILED;
  }
  print(redact(error.message));
  if (isFault(error)) context.stderr.write(`This is a fault of the program.\n${redact(error.stack ?? '')}\n`);
  return EXIT_FAILED;
}

/** Errors that no input may cause; everything else says what went wrong in its message. */
function isFault(error: Error): boolean {
  return ['AssertionError', 'TypeError', 'RangeError', 'ReferenceError', 'SyntaxError'].includes(error.name);
}

/** Commander's `error: …` in this program's form. */
function usageText(text: string): string {
  const [first = '', ...rest] = text
    .trim()
    .replace(/^error: /, '')
    .split('\n');
  const suggestion = /^\(Did you mean (.*)\?\)$/s.exec(rest.join(' ').trim())?.[1];
  const fix = suggestion === undefined ? 'see holdfast --help' : `did you mean ${suggestion}?`;
  return `holdfast: ${redact(first.replace(/\.$/, ''))} — ${fix}\n`;
}
