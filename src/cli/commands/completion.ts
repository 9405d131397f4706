import { Argument, type Command } from 'commander';
import { commandTree } from '../command-tree.ts';
import { bashScript, fishScript, zshScript } from '../completion-script.ts';
import type { CliContext } from '../context.ts';
import { examples } from '../options.ts';
import { Terminal } from '../terminal.ts';

const SCRIPTS = { bash: bashScript, zsh: zshScript, fish: fishScript };

export function addCompletionCommand(program: Command, context: CliContext): void {
  program
    .command('completion')
    .description('print a completion script for a shell')
    .addArgument(new Argument('<shell>', 'the shell').choices(Object.keys(SCRIPTS)))
    .addHelpText(
      'after',
      examples(
        'source <(holdfast completion bash)',
        'holdfast completion zsh > "${fpath[1]}/_holdfast"',
        'holdfast completion fish > ~/.config/fish/completions/holdfast.fish',
      ),
    )
    .action(async (shell: keyof typeof SCRIPTS) =>
      new Terminal(context, false).write(SCRIPTS[shell](commandTree(program))),
    );
}
