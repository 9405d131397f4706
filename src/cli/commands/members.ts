import type { Command } from 'commander';
import type { CliContext } from '../context.ts';
import { memberStateText } from '../member-state.ts';
import { examples } from '../options.ts';
import { openSession } from '../session.ts';
import { MEMBERS, readShape } from '../shapes.ts';
import { tableText } from '../table.ts';
import type { Terminal } from '../terminal.ts';
import { agoText, printable } from '../text.ts';

const HEAD = ['NAME', 'STATE', 'HEALTH', 'ZONE', 'SCORE', 'RTT', 'MISSED', 'ERRORS', 'SINCE', 'ADDRESS'];
const COLUMNS = `
Columns:
  STATE    alive; suspect: being checked; dead: held gone, tried again for ever; left: said goodbye
  HEALTH   degraded: alive, but misses probes, answers late or fails requests
  ZONE     the one that counts: set with holdfast ring zone (in brackets what it is configured with), else its own
  SCORE    free processor, memory and storage, 0 to 1
  RTT      round-trip time, ~ where it is predicted and not measured
  MISSED   unanswered ones of the last 16 probes from this node
  ERRORS   share of recent requests for data that it refused or answered late
  SINCE    last change of state that this node saw; - where it has heard nothing of the member since its own start
  ADDRESS  where it listens; with the peer id behind /p2p/ where several members have the same name`;

export function addMembersCommand(program: Command, context: CliContext): void {
  program
    .command('members')
    .description('list the members of the cluster as this node sees them (* is the node itself)')
    .addHelpText('after', COLUMNS)
    .addHelpText('after', examples('holdfast members', "holdfast members --json | jq -r '.members[].name'"))
    .action(async (_options, command: Command) => {
      const { client, terminal, json } = openSession(command, context);
      const answer = await client.json('/v1/members');
      if (json) return terminal.json(answer);
      const { members } = readShape(MEMBERS, answer);
      const named = Map.groupBy(members, ({ name }) => name);
      const rows = members
        .toSorted((a, b) => compare(a.name, b.name) || compare(a.peerId, b.peerId))
        .map((member) => ({ ...member, isHere: member.state === 'alive' || member.state === 'suspect' }))
        .map((member) => [
          `${printable(member.name)}${member.self ? '*' : ''}`,
          memberStateText(terminal, member.state),
          healthOf(terminal, member),
          zoneText(member),
          member.isHere ? member.score.toFixed(2) : '-',
          member.isHere ? rttText(member) : '-',
          member.isHere && !member.self ? missedText(member.missedProbes) : '-',
          member.isHere && !member.self ? shareText(member.errorRate) : '-',
          member.since === null ? '-' : agoText(member.since, context.now()),
          addressText(member, named.get(member.name)?.length === 1),
        ]);
      return terminal.line(tableText(terminal, HEAD, rows, ['SCORE', 'RTT', 'MISSED', 'ERRORS']));
    });
}

/** With the peer id, by which commands call it, where others have its name too. */
function addressText(
  { addresses, peerId }: { readonly addresses: readonly string[]; readonly peerId: string },
  isNameUnique: boolean,
): string {
  const address = printable(addresses[0] ?? '').replace(/\/p2p\/.*$/, '');
  return (isNameUnique ? address : `${address}/p2p/${printable(peerId)}`) || '-';
}

function zoneText({ zone, ownZone = zone }: { readonly zone: string; readonly ownZone?: string | undefined }): string {
  const own = ownZone === zone ? '' : ` (own: ${printable(ownZone) || '-'})`;
  return `${printable(zone) || '-'}${own}`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** `~`: predicted from coordinates. */
function rttText({ rttMs, rttEstimated }: { rttMs: number | null; rttEstimated?: boolean | undefined }): string {
  if (rttMs === null) return '-';
  return `${rttEstimated === true ? '~' : ''}${rttMs.toFixed(1)} ms`;
}

function missedText(missed: number | undefined): string {
  return missed === undefined ? '-' : `${missed}/16`;
}

function shareText(share: number | undefined): string {
  return share === undefined ? '-' : `${(share * 100).toFixed(0)} %`;
}

/** Of a member that is gone nothing is known. */
function healthOf(terminal: Terminal, { health, isHere }: { health: string; isHere: boolean }): string {
  if (!isHere) return '-';
  return health === 'healthy' ? health : terminal.colour('yellow', printable(health));
}
