import { type CommandGroup, type CommandSpec, type CommandTable, command } from '../command.ts';
import { wrongArity } from '../errors.ts';
import { type Reply, SimpleReply } from '../reply.ts';

/** A command that only holds subcommands; the dispatcher picks one of them. */
export function container(
  name: string,
  group: CommandGroup,
  since: string,
  summary: string,
  subcommands: CommandTable,
): CommandSpec {
  return command({
    name,
    arity: -2,
    flags: [],
    group,
    summary,
    since,
    complexity: 'Depends on subcommand.',
    subcommands,
    handler: () => wrongArity(name),
  });
}

export function helpOf(name: string, subcommands: readonly CommandSpec[]): Reply {
  const title = `${name.toUpperCase()} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:`;
  const lines = subcommands.flatMap((spec) => [
    spec.name.slice(spec.name.indexOf('|') + 1).toUpperCase(),
    `    ${spec.summary}`,
  ]);
  return [title, ...lines].map((line) => new SimpleReply(line));
}
