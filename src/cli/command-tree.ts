import type { Command, Option } from 'commander';

export interface OptionNode {
  /** `--level`, `-f`. */
  readonly names: readonly string[];
  readonly description: string;
  readonly takesValue: boolean;
  /** Values to offer; empty: anything. */
  readonly choices: readonly string[];
  /** The value is a path. */
  readonly path: boolean;
}

export interface CommandNode {
  /** Words after the program's name: `['bucket', 'list']`; empty for the program itself. */
  readonly words: readonly string[];
  readonly description: string;
  readonly commands: readonly CommandNode[];
  readonly options: readonly OptionNode[];
  /** Values to offer for the first argument. */
  readonly choices: readonly string[];
}

/** A placeholder like `<on/off>`. */
const LISTED_VALUES = /<([a-z]+(?:\/[a-z]+)+)>$/;
const PATH_OPTION = /<(FILE|DIR|file)>$/;

/** What completion scripts are made from. Global options belong to every command. */
export function commandTree(program: Command): CommandNode {
  return nodeOf(program, [], program.options.filter((option) => !option.hidden).map(optionNode));
}

function nodeOf(command: Command, words: readonly string[], globals: readonly OptionNode[]): CommandNode {
  const help = command.createHelp();
  const own = help.visibleOptions(command).map(optionNode);
  const known = new Set(own.flatMap((option) => option.names));
  return {
    words,
    description: command.description(),
    commands: help
      .visibleCommands(command)
      .filter((child) => child.name() !== 'help')
      .map((child) => nodeOf(child, [...words, child.name()], globals)),
    options: [...own, ...globals.filter((option) => !option.names.some((name) => known.has(name)))],
    choices: command.registeredArguments[0]?.argChoices ?? [],
  };
}

function optionNode(option: Option): OptionNode {
  const listed = LISTED_VALUES.exec(option.flags)?.[1]?.split('/');
  return {
    names: [option.short, option.long].filter((name) => name !== undefined),
    description: option.description.replace(/ \(.*\)$/, ''),
    takesValue: option.required || option.optional,
    choices: option.argChoices ?? listed ?? [],
    path: PATH_OPTION.test(option.flags),
  };
}

/** The command and all below it, parents first. */
export function allCommands(node: CommandNode): CommandNode[] {
  return [node, ...node.commands.flatMap(allCommands)];
}
