import { allCommands, type CommandNode, type OptionNode } from './command-tree.ts';

/** The words that may follow a command: its subcommands, its argument's choices and its options. */
function wordsOf(node: CommandNode): string[] {
  return [...node.commands.map(nameOf), ...node.choices, ...node.options.flatMap((option) => option.names)];
}

function nameOf(node: CommandNode): string {
  return node.words.at(-1) ?? '';
}

function pathOf(node: CommandNode): string {
  return node.words.map((word) => ` ${word}`).join('');
}

/** Shell cases that follow the words typed so far down the tree. */
function descentCases(tree: CommandNode): string {
  return allCommands(tree)
    .filter((node) => node.words.length > 0)
    .map(
      (node) =>
        `      "${node.words
          .slice(0, -1)
          .map((word) => ` ${word}`)
          .join('')}|${nameOf(node)}") at="${pathOf(node)}" ;;`,
    )
    .join('\n');
}

/** Shell cases for the value of the option before the cursor. `action` completes one of them. */
function valueCases(tree: CommandNode, action: (option: OptionNode) => string): string {
  const lines: string[] = [];
  for (const node of allCommands(tree)) {
    for (const option of node.options.filter((one) => one.takesValue)) {
      for (const name of option.names) lines.push(`    "${pathOf(node)}|${name}") ${action(option)}; return ;;`);
    }
  }
  return lines.join('\n');
}

function wordCases(tree: CommandNode): string {
  return allCommands(tree)
    .map((node) => `    "${pathOf(node)}") words="${wordsOf(node).join(' ')}" ;;`)
    .join('\n');
}

export function bashScript(tree: CommandNode): string {
  const action = (option: OptionNode): string => {
    if (option.choices.length > 0) return `COMPREPLY=($(compgen -W "${option.choices.join(' ')}" -- "$cur"))`;
    return option.path ? 'COMPREPLY=($(compgen -f -- "$cur"))' : 'COMPREPLY=()';
  };
  return `# bash completion for holdfast: source <(holdfast completion bash)
_holdfast() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} at= words= i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$at|\${COMP_WORDS[i]}" in
${descentCases(tree)}
    esac
  done
  case "$at|$prev" in
${valueCases(tree, action)}
  esac
  case "$at" in
${wordCases(tree)}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o filenames -o default -F _holdfast holdfast
`;
}

export function zshScript(tree: CommandNode): string {
  const action = (option: OptionNode): string => {
    if (option.choices.length > 0) return `compadd -- ${option.choices.join(' ')}`;
    return option.path ? '_files' : "_message 'value'";
  };
  return `#compdef holdfast
# zsh completion for holdfast: put it as _holdfast into a folder of $fpath
_holdfast() {
  local prev=\${words[CURRENT-1]} at= candidates= i
  for ((i = 2; i < CURRENT; i++)); do
    case "$at|\${words[i]}" in
${descentCases(tree)}
    esac
  done
  case "$at|$prev" in
${valueCases(tree, action)}
  esac
  case "$at" in
${wordCases(tree).replaceAll('words=', 'candidates=')}
  esac
  compadd -- \${(s: :)candidates} || _files
}
if [ "$funcstack[1]" = "_holdfast" ]; then
  _holdfast "$@"
else
  compdef _holdfast holdfast
fi
`;
}

export function fishScript(tree: CommandNode): string {
  const lines = [
    '# fish completion for holdfast: put it into ~/.config/fish/completions/holdfast.fish',
    'complete -c holdfast -f',
  ];
  for (const node of allCommands(tree)) {
    const here = fishCondition(node);
    for (const child of node.commands) {
      lines.push(`complete -c holdfast -n '${here}' -a ${nameOf(child)} -d ${fishQuoted(child.description)}`);
    }
    if (node.choices.length > 0)
      lines.push(`complete -c holdfast -n '${here}' -a ${fishQuoted(node.choices.join(' '))}`);
    for (const option of node.options) lines.push(fishOption(option, here));
  }
  return `${lines.join('\n')}\n`;
}

/** True while the words typed so far lead to the command and to none below it. */
function fishCondition(node: CommandNode): string {
  const below = node.commands.map(nameOf).join(' ');
  const conditions = node.words.map((word) => `__fish_seen_subcommand_from ${word}`);
  if (below !== '') conditions.push(`not __fish_seen_subcommand_from ${below}`);
  return conditions.join('; and ');
}

function fishOption(option: OptionNode, condition: string): string {
  const names = option.names.map((name) => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`));
  const value = option.path ? ' -r -F' : option.takesValue ? ' -x' : '';
  const choices = option.choices.length > 0 ? ` -a ${fishQuoted(option.choices.join(' '))}` : '';
  return `complete -c holdfast -n '${condition}' ${names.join(' ')}${value}${choices} -d ${fishQuoted(option.description)}`;
}

function fishQuoted(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}
