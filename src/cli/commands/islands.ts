import type { Command } from 'commander';
import type { z } from 'zod';
import type { CliContext } from '../context.ts';
import { memberStateText } from '../member-state.ts';
import { examples } from '../options.ts';
import { openSession } from '../session.ts';
import { ISLANDS, readShape } from '../shapes.ts';
import { fieldsText, tableText } from '../table.ts';
import type { Terminal } from '../terminal.ts';
import { agoText, plural, printable } from '../text.ts';

type Islands = z.infer<typeof ISLANDS>;
type Component = Islands['components'][number];
type Member = Component['members'][number];

const HEAD = ['PART', 'SINCE', 'LEADER', 'MEMBERS'];
const ABOUT = `
Columns:
  PART     here: the node itself and whom it reaches; lost: members of the ring that it does not reach, those lost within
           ten seconds of each other in one line. How they are connected among themselves it cannot see: ask one of them
  SINCE    here: when somebody last came or went; lost: when the last of them was lost, - where they have not been
           reached since the node's own start
  LEADER   as far as the node knows; quorate: with a majority of the ring
  MEMBERS  in brackets what is the matter with one: its state, and its place where it is not in the ring`;

export function addIslandsCommand(program: Command, context: CliContext): void {
  program
    .command('islands')
    .description('show how the ring is cut, as far as this node sees')
    .addHelpText('after', ABOUT)
    .addHelpText('after', examples('holdfast islands', "holdfast islands --json | jq '.components | length'"))
    .action(async (_options, command: Command) => {
      const { client, terminal, json } = openSession(command, context);
      const answer = await client.json('/v1/islands');
      if (json) await terminal.json(answer);
      else await terminal.line(islandsText(terminal, readShape(ISLANDS, answer), context.now()));
    });
}

function islandsText(terminal: Terminal, { level, levelSince, components }: Islands, nowMs: number): string {
  const isWell = level === 'connected';
  const shown = isWell ? level : terminal.colour('yellow', printable(level));
  const since = levelSince === null ? '' : `, since ${agoText(levelSince, nowMs)}`;
  const fields = fieldsText(terminal, [
    ['level', `${shown}${since}`],
    ['reached', reachedText(components)],
  ]);
  const rows = components.map((component) => [
    component.self ? 'here' : terminal.colour('red', 'lost'),
    component.since === null ? '-' : agoText(component.since, nowMs),
    leaderText(terminal, component),
    component.members.map((member) => memberText(terminal, member)).join(', '),
  ]);
  return `${fields}\n\n${tableText(terminal, HEAD, rows)}`;
}

function reachedText(components: readonly Component[]): string {
  const all = components.flatMap(({ members }) => members).length;
  const here = components.find(({ self }) => self)?.members.length ?? 0;
  return here === all ? `all of ${plural(all, 'member')}` : `${here} of ${plural(all, 'member')}`;
}

function leaderText(terminal: Terminal, { self, leader, term, quorate }: Component): string {
  if (leader === null) return self ? terminal.colour('yellow', 'none') : '-';
  const majority = quorate === true ? 'quorate' : terminal.colour('yellow', 'not quorate');
  return `${printable(leader)}, term ${term ?? '-'}, ${majority}`;
}

function memberText(terminal: Terminal, { name, state, place }: Member): string {
  const matters = [
    ...(state === 'alive' ? [] : [state === null ? 'unknown' : memberStateText(terminal, state)]),
    ...(place === 'in' ? [] : [printable(place)]),
  ];
  return matters.length === 0 ? printable(name) : `${printable(name)} (${matters.join(', ')})`;
}
