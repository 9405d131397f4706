import { Command, CommanderError } from 'commander';
import { redact } from '../config/secret.ts';
import { HUB_API, NODE_API } from './api-target.ts';
import { addBucketCommand } from './commands/bucket.ts';
import { addCompletionCommand } from './commands/completion.ts';
import { addConfigCommand } from './commands/config.ts';
import { addConflictsCommand } from './commands/conflicts.ts';
import { addDelCommand } from './commands/del.ts';
import { addDemoCommand } from './commands/demo.ts';
import { addEventsCommand } from './commands/events.ts';
import { addGetCommand } from './commands/get.ts';
import { addHubCommand } from './commands/hub.ts';
import { addHubStatusCommand } from './commands/hub-status.ts';
import { addIslandsCommand } from './commands/islands.ts';
import { addLeaderCommand } from './commands/leader.ts';
import { addLockCommand } from './commands/lock.ts';
import { addMembersCommand } from './commands/members.ts';
import { addPutCommand } from './commands/put.ts';
import { addRingCommand } from './commands/ring.ts';
import { addScanCommand } from './commands/scan.ts';
import { addSecretCommand } from './commands/secret.ts';
import { addSiteCommand } from './commands/site.ts';
import { addStartCommand } from './commands/start.ts';
import { addStatusCommand } from './commands/status.ts';
import { addWatchCommand } from './commands/watch.ts';
import type { CliContext } from './context.ts';
import { BrokenPipeError, CliError, CommandEnded, EXIT_DONE, EXIT_STATUSES } from './errors.ts';
import { commandPath, examples } from './options.ts';
import { printable } from './text.ts';

const EXIT_STATUS = `\nExit status:\n${EXIT_STATUSES.map(([status, meaning]) => `  ${status}  ${meaning}`).join('\n')}`;

/**
 * The command line. Nothing runs before `parseAsync`; prefer `runCli`, which also reports errors. `json`: help in place of
 * a missing command is left out.
 */
export function buildProgram(context: CliContext, json = false): Command {
  const program = new Command('holdfast')
    .description('Keeps a fleet of edge devices alive and consistent when networks, neighbours and the cloud fail.')
    .version(context.version, '-V, --version', 'print the version')
    .option(
      '--api <url>',
      `the HTTP API of the node, or hub (default: ${NODE_API.defaultApi}, ${HUB_API.defaultApi}; HOLDFAST_API)`,
    )
    .option('--json', 'print for machines; errors as {"code","message",…} on standard error')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => void context.stdout.write(text),
      writeErr: (text) => void (json || context.stderr.write(text)),
      // Printed with all others, by `runCli`.
      outputError: () => undefined,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    });
  for (const add of COMMANDS) add(program, context);
  noteOrigins(program);
  return program.addHelpText(
    'after',
    `${examples('holdfast demo', 'holdfast start', 'holdfast put default greeting hello', 'holdfast get default greeting')}\n${EXIT_STATUS}`,
  );
}

/** The commands whose usage errors are about. */
const origins = new WeakMap<CommanderError, Command>();

function noteOrigins(command: Command): void {
  command.exitOverride((error) => {
    origins.set(error, command);
    throw error;
  });
  command.commands.forEach(noteOrigins);
}

const COMMANDS: readonly ((program: Command, context: CliContext) => void)[] = [
  addStartCommand,
  addHubCommand,
  addDemoCommand,
  addSecretCommand,
  addStatusCommand,
  addMembersCommand,
  addLeaderCommand,
  addIslandsCommand,
  addHubStatusCommand,
  addConflictsCommand,
  addRingCommand,
  addEventsCommand,
  addGetCommand,
  addPutCommand,
  addDelCommand,
  addScanCommand,
  addWatchCommand,
  addBucketCommand,
  addLockCommand,
  addSiteCommand,
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
  const json = asksForJson(args);
  try {
    await buildProgram(context, json).parseAsync(args, { from: 'user' });
    return EXIT_DONE;
  } catch (error) {
    if (error instanceof BrokenPipeError || isDone(error)) return EXIT_DONE;
    if (error instanceof CommandEnded) return error.status;
    const reason = cliErrorOf(error);
    if (json) printJson(context, reason);
    else if (!isHelp(error)) printLines(context, reason);
    return reason.status;
  }
}

/** Known before the arguments are parsed, which may fail. */
function asksForJson(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  return args.slice(0, end < 0 ? args.length : end).includes('--json');
}

/** `--help` and `--version` end in this way too. */
function isDone(error: unknown): boolean {
  return error instanceof CommanderError && error.exitCode === 0;
}

/** A command is missing: the help has been printed in place of an error. */
function isHelp(error: unknown): boolean {
  return error instanceof CommanderError && error.code === 'commander.help';
}

function cliErrorOf(error: unknown): CliError {
  if (error instanceof CliError) return error;
  if (error instanceof CommanderError) {
    const fix = `see ${commandPath(origins.get(error))} --help`;
    return new CliError(isHelp(error) ? `no command is given — ${fix}` : usageText(error.message, fix), 'bad-usage');
  }
  if (!(error instanceof Error)) return new CliError(redact(String(error)));
  if (!isFault(error)) return new CliError(redact(error.message));
  return new CliError(redact(error.message), 'internal', { cause: error });
}

function printLines({ stderr }: CliContext, error: CliError): void {
  for (const line of error.lines) stderr.write(`holdfast: ${line}\n`);
  const stack = stackOf(error);
  if (stack !== undefined) stderr.write(`This is a fault of the program.\n${stack}\n`);
}

function printJson({ stderr }: CliContext, error: CliError): void {
  const { code, message, data } = error;
  const own = { code, message };
  // Our own first, and they cannot be replaced.
  stderr.write(`${JSON.stringify({ ...own, ...data, ...own, stack: stackOf(error) })}\n`);
}

/** Of a fault of this program; the node's own stay in its log. */
function stackOf({ code, cause }: CliError): string | undefined {
  return code === 'internal' && cause instanceof Error ? redact(cause.stack ?? '') : undefined;
}

/** Errors that no input may cause; everything else says what went wrong in its message. */
function isFault(error: Error): boolean {
  return ['AssertionError', 'TypeError', 'RangeError', 'ReferenceError', 'SyntaxError'].includes(error.name);
}

/** Commander's `error: …` in this program's form; `otherwise`: what to do where there is no suggestion. */
function usageText(text: string, otherwise: string): string {
  const said = text.trim().replace(/^error: /, '');
  const suggestion = /\n\(Did you mean (.*)\?\)$/s.exec(said);
  const problem = said
    .slice(0, suggestion?.index)
    .replace(/\.$/, '')
    .replace(/^command-argument value ('.*') is invalid for argument ('.*?')/s, 'argument $2: $1 is invalid');
  const fix = suggestion?.[1] === undefined ? otherwise : `did you mean ${suggestion[1]}?`;
  return `${printable(redact(problem))} — ${fix}`;
}
