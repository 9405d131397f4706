import { type Command, InvalidArgumentError } from 'commander';
import { suggest } from '../../config/suggestion.ts';
import { isWeight, WEIGHT_MAX, WEIGHT_MIN } from '../../lib/weight.ts';
import { ZONE_NAME_EXPECTED, ZONE_NAME_OR_NONE } from '../../lib/zone-name.ts';
import { memberPath } from '../client.ts';
import type { CliContext } from '../context.ts';
import { CliError } from '../errors.ts';
import { memberStateText } from '../member-state.ts';
import { commandPath, examples } from '../options.ts';
import { openSession } from '../session.ts';
import { RING, RING_CHANGE, type Ring, type RingMember, readShape } from '../shapes.ts';
import { tableText } from '../table.ts';
import type { Terminal } from '../terminal.ts';
import { plural, printable } from '../text.ts';
import { addRefoundCommand } from './refound.ts';

const PATH = '/v1/ring';
const HEAD = ['NAME', 'STATE', 'ZONE', 'RING', 'WEIGHT', 'SHARDS', 'OF FAIR SHARE', ''];
const COLUMNS = `
Columns:
  STATE          as this node sees it: alive, suspect, dead or left; moves no data
  ZONE, WEIGHT   what counts: an operator's word (holdfast ring zone, weight), else the member's own
  RING           in: owns data; out: owns none, as an operator has decided; missing: none while it is gone
  SHARDS         shards that it owns, and how many that is of its share by weight`;
const BAR_CHARACTERS = 24;
const OWN = 'go back to what the member itself is configured with';

export function addRingCommand(program: Command, context: CliContext): void {
  const ring = program.command('ring').description('show and change who holds the data');
  addShow(ring, context);
  addPlace(ring, context, 'in');
  addPlace(ring, context, 'out');
  addWeight(ring, context);
  addZone(ring, context);
  addRemove(ring, context);
  addRefoundCommand(ring, context);
}

function addShow(ring: Command, context: CliContext): void {
  ring
    .command('show', { isDefault: true })
    .description('show how the shards are spread over the members')
    .addHelpText('after', COLUMNS)
    .addHelpText('after', examples('holdfast ring', 'holdfast ring --json | jq .epoch'))
    // Words that are no command end up here.
    .allowExcessArguments()
    .action(async (_options, command: Command) => {
      refuseWords(ring, command);
      const { client, terminal, json } = openSession(command, context);
      const answer = await client.json(PATH);
      if (json) await terminal.json(answer);
      else await terminal.line(ringText(terminal, readShape(RING, answer)));
    });
}

function refuseWords(ring: Command, show: Command): void {
  const [word] = show.args;
  if (word === undefined) return;
  if (ring.args[0] === show.name()) {
    throw new CliError(`too many arguments: ${printable(word)} — see ${commandPath(show)} --help`, 'bad-usage');
  }
  const meant = suggest(
    word,
    ring.commands.map((command) => command.name()),
  );
  const fix = meant === undefined ? `see ${commandPath(ring)} --help` : `did you mean ${meant}?`;
  throw new CliError(`unknown command '${printable(word)}' — ${fix}`, 'bad-usage');
}

function addPlace(ring: Command, context: CliContext, place: 'in' | 'out'): void {
  ring
    .command(place)
    .description(
      place === 'in'
        ? 'put a member into the ring: it takes over its share of the data'
        : 'take a member out of the ring: it hands over its data, and serves requests as before',
    )
    .argument('<name>', 'name or peer id of the member')
    .addHelpText('after', examples(`holdfast ring ${place} gateway-7`))
    .action((name: string, _options, command: Command) => change(command, context, name, { in: place === 'in' }));
}

function addWeight(ring: Command, context: CliContext): void {
  ring
    .command('weight')
    .description("set a member's share of the data, relative to the others")
    .argument('<name>', 'name or peer id of the member')
    .argument('[weight]', '0.001 to 1000', weightOf)
    .option('--own', OWN)
    .addHelpText('after', examples('holdfast ring weight gateway-7 2', 'holdfast ring weight gateway-7 --own'))
    .action((name: string, weight: number | undefined, options: OwnOption, command: Command) =>
      change(command, context, name, { weight: oneOf(weight, options, 'weight') }),
    );
}

function addZone(ring: Command, context: CliContext): void {
  ring
    .command('zone')
    .description("set a member's zone: copies of a key go to different zones first")
    .argument('<name>', 'name or peer id of the member')
    .argument('[zone]', `the zone: ${ZONE_NAME_EXPECTED}; '' for none`, zoneOf)
    .option('--own', OWN)
    .addHelpText('after', examples('holdfast ring zone gateway-7 hall-2', 'holdfast ring zone gateway-7 --own'))
    .action((name: string, zone: string | undefined, options: OwnOption, command: Command) =>
      change(command, context, name, { zone: oneOf(zone, options, 'zone') }),
    );
}

interface OwnOption {
  readonly own?: boolean;
}

/** The value, or null for the member's own; exactly one of them has to be asked for. */
function oneOf<T>(value: T | undefined, { own = false }: OwnOption, what: string): T | null {
  if (own !== (value === undefined)) {
    const wrong = own ? `both a ${what} and --own` : `no ${what} given`;
    throw new CliError(`${wrong} — name a ${what}, or give --own`, 'bad-usage');
  }
  return value ?? null;
}

function addRemove(ring: Command, context: CliContext): void {
  ring
    .command('remove')
    .description('take a member out for good, for example a broken one')
    .argument('<name>', 'name or peer id of the member')
    .option('--yes', 'it is meant')
    .addHelpText('after', examples('holdfast ring remove gateway-7 --yes'))
    .action(async (name: string, { yes }: { yes?: boolean }, command: Command) => {
      if (yes !== true) {
        const what = `${printable(name)} would be taken out of the ring for good`;
        throw new CliError(`${what} — repeat with --yes, or use \`holdfast ring out\` for a time`, 'bad-usage');
      }
      await change(command, context, name, null);
    });
}

/** Null: removed for good. */
async function change(command: Command, context: CliContext, name: string, body: object | null): Promise<void> {
  const { client, terminal, json } = openSession(command, context);
  const request =
    body === null
      ? { method: 'DELETE' as const }
      : {
          method: 'POST' as const,
          headers: { 'Content-Type': 'application/json' },
          body: JSON.stringify(body),
        };
  const answer = await client.json(memberPath(name), request);
  if (json) return terminal.json(answer);
  const member = readShape(RING_CHANGE, answer);
  await terminal.line(memberText(member));
  if (member.changed === false) terminal.note('nothing changed: it was so already');
  const { members, replicas } = readShape(RING, await client.json(PATH));
  const inside = members.filter((member) => member.in).length;
  if (inside < replicas) {
    terminal.note(`only ${plural(inside, 'member')} in the ring: keys have ${inside} of ${replicas} copies`);
  }
}

function memberText(member: RingMember): string {
  const { name, weight, zone, shards } = member;
  const place = placeOf(member);
  const where = { in: 'in the ring', out: 'out of the ring', removed: 'removed from the ring' }[place] ?? place;
  const inZone = zone === '' ? '' : `, zone ${printable(zone)}`;
  return `${printable(name)} is ${where}: weight ${weight}${inZone}, owner of ${plural(shards, 'shard')}`;
}

function weightOf(text: string): number {
  const weight = /^\d{1,9}(\.\d{1,9})?$/.test(text) ? Number(text) : Number.NaN;
  if (isWeight(weight)) return weight;
  throw new InvalidArgumentError(`Use a number from ${WEIGHT_MIN} to ${WEIGHT_MAX}.`);
}

function zoneOf(text: string): string {
  if (ZONE_NAME_OR_NONE.test(text)) return text;
  throw new InvalidArgumentError(`Use ${ZONE_NAME_EXPECTED}.`);
}

/** Nodes of earlier versions say only whether it is in. */
function placeOf(member: RingMember): string {
  return member.place ?? (member.in ? 'in' : 'out');
}

function ringText(terminal: Terminal, ring: Ring): string {
  const { epoch, shards, replicas } = ring;
  const members = ring.members.filter((member) => placeOf(member) !== 'removed' || member.in);
  const owned = members.reduce((sum, member) => sum + member.shards, 0);
  const weights = members.reduce((sum, member) => sum + (member.in ? member.weight : 0), 0);
  const most = Math.max(1, ...members.map((member) => member.shards));
  const rows = members
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map((member) => {
      const fair = member.in && weights > 0 ? (owned * member.weight) / weights : 0;
      const place = placeOf(member);
      return [
        printable(member.name),
        memberStateText(terminal, member.state),
        printable(member.zone) || '-',
        place === 'in' ? 'in' : terminal.colour('dim', printable(place)),
        String(member.weight),
        String(member.shards),
        fair > 0 ? `${Math.round((100 * member.shards) / fair)} %` : '-',
        barText(terminal, member.shards / most),
      ];
    });
  const title = `epoch ${epoch}, ${plural(shards, 'shard')}, ${plural(replicas, 'replica')}, ${stateText(terminal, ring)}`;
  const removed = ring.members.length - members.length;
  const rest = removed === 0 ? '' : `\n\n${plural(removed, 'member')} removed for good (--json lists all)`;
  const table = tableText(terminal, HEAD, rows, ['WEIGHT', 'SHARDS', 'OF FAIR SHARE']);
  return `${title}\n\n${table}${rest}${electorateText(ring)}${placementsText(terminal, ring)}`;
}

/** Who decides about strong buckets, where anybody uses them. */
function electorateText({ electorate }: Ring): string {
  if (electorate === null || electorate === undefined) return '';
  const { epoch, electors, previous } = electorate;
  const names = (list: readonly string[]): string => list.map(printable).toSorted().join(', ');
  const before = previous === null ? '' : `, changing from ${names(previous)}`;
  return `\n\nStrong buckets: ${names(electors)} decide (epoch ${epoch})${before}`;
}

/** The placements that buckets have of their own: a column for each. */
function placementsText(terminal: Terminal, { placements = [] }: Ring): string {
  if (placements.length === 0) return '';
  const list = placements.map(({ replicas, preferredZones, buckets }, i) => {
    const zones = preferredZones.length === 0 ? '' : `, zones ${preferredZones.map(printable).join(', ')} first`;
    return `  ${i + 1}  ${plural(replicas, 'replica')}${zones}: ${buckets.map(printable).join(', ')}`;
  });
  const names = [...new Set(placements.flatMap(({ members }) => members.map(({ name }) => name)))].sort();
  const rows = names.map((name) => [
    printable(name),
    ...placements.map(({ members }) => String(members.find((member) => member.name === name)?.shards ?? 0)),
  ]);
  const numbers = placements.map((_, i) => `SHARDS ${i + 1}`);
  const table = tableText(terminal, ['NAME', ...numbers], rows, numbers);
  return `\n\nbuckets with a placement of their own\n${list.join('\n')}\n\n${table}`;
}

function stateText(terminal: Terminal, { changing }: Ring): string {
  if (changing === null) return 'at rest';
  const done = changing.moved === undefined || changing.moved === 0 ? '' : `, ${changing.moved} done`;
  return terminal.colour('yellow', `${plural(changing.shards, 'shard')} moving at this node${done}`);
}

function barText(terminal: Terminal, share: number): string {
  const block = terminal.unicode ? '█' : '#';
  return terminal.colour('green', block.repeat(Math.round(share * BAR_CHARACTERS)));
}
