import type { Command } from 'commander';
import type { z } from 'zod';
import { sizeText } from '../../lib/size-text.ts';
import { HUB_API } from '../api-target.ts';
import type { CliContext } from '../context.ts';
import { examples } from '../options.ts';
import { openSession } from '../session.ts';
import { HUB_STATUS, readShape, STATUS } from '../shapes.ts';
import { fieldsText } from '../table.ts';
import type { Terminal } from '../terminal.ts';
import { durationText, plural, printable } from '../text.ts';
import { uplinkText } from '../uplink-text.ts';

/** A node takes writes again once so many times its headroom is free. */
const HEADROOM_RECOVERY = 1.25;

export function addStatusCommand(program: Command, context: CliContext): void {
  program
    .command('status')
    .description('show the node: identity, service level, members, shards, disk; or the hub that --api names')
    .addHelpText(
      'after',
      examples('holdfast status', 'holdfast status --json | jq .level', 'holdfast status --api http://127.0.0.1:7580'),
    )
    .action(async (_options, command: Command) => {
      const { client, terminal, json } = openSession(command, context);
      const answer = await client.json('/v1/status');
      if (json) return terminal.json(answer);
      // Of a hub: no node has a `store`.
      const text =
        'store' in Object(answer)
          ? hubStatusText(terminal, readShape(HUB_STATUS, answer, HUB_API))
          : statusText(terminal, readShape(STATUS, answer));
      return terminal.line(text);
    });
}

function hubStatusText(terminal: Terminal, status: z.infer<typeof HUB_STATUS>): string {
  const { name, peerId, version, uptimeSeconds, store, addresses, sites, sessions, hub } = status;
  return fieldsText(terminal, [
    ['hub', `${printable(name)} (${printable(peerId)})`],
    ['version', `${printable(version)}, up ${durationText(uptimeSeconds)}`],
    ['store', printable(store)],
    ['addresses', addresses.map(printable).join('\n')],
    ['sites', `${sites}, ${plural(sessions, 'session')} with this process`],
    ...(hub === null ? [] : [['hub above', uplinkText(terminal, hub)] as [string, string]]),
  ]);
}

function statusText(terminal: Terminal, status: z.infer<typeof STATUS>): string {
  const { shards, disk, hints, clock } = status;
  const level = { connected: 'green', degraded: 'yellow', island: 'red' }[status.level] as 'green' | undefined;
  const members = Object.entries(status.members).map(([state, number]) => `${number} ${printable(state)}`);
  const transferring = shards.transferring > 0 ? `, ${shards.transferring} in transfer` : '';
  const { behind: lacking = 0 } = shards;
  const behind = lacking > 0 ? `, ${lacking} behind other owners` : '';
  const readOnly = disk.readOnly ? terminal.colour('red', `, ${shortageText(disk)}`) : '';
  const lost = lostText(terminal, disk.recordsLost);
  const fields: [string, string][] = [
    ['node', `${printable(status.name)} (${printable(status.peerId)})`],
    ['cluster', printable(status.clusterId)],
    ['version', `${printable(status.version)}, start ${status.bootEpoch}, up ${durationText(status.uptimeSeconds)}`],
    ['level', level === undefined ? printable(status.level) : terminal.colour(level, status.level)],
    ['members', members.join(', ')],
    ...(status.leader === undefined ? [] : [leaderField(terminal, status)]),
    ['ring', `epoch ${status.ringEpoch}${placeText(terminal, status.ringPlace)}`],
    ['shards', `${shards.owned} owned, ${shards.complete} complete${transferring}${behind}`],
    ['disk', `${sizeText(disk.usedBytes)} used, ${sizeText(disk.freeBytes)} free${readOnly}${lost}`],
  ];
  if (status.hub) fields.push(['hub', uplinkText(terminal, status.hub)]);
  if (status.scrub !== undefined) fields.push(['scrub', scrubText(terminal, status.scrub)]);
  if (hints !== undefined) fields.push(['hints', hintsText(hints)]);
  if (clock !== undefined && clock.offsetMs !== 0)
    fields.push(['clock', terminal.colour('red', clockText(clock.offsetMs))]);
  if (status.notReady) fields.push(['serving', terminal.colour('red', `no: ${printable(status.notReady)}`)]);
  return fieldsText(terminal, fields);
}

function leaderField(terminal: Terminal, status: z.infer<typeof STATUS>): [string, string] {
  const { leader, term = 0, quorate = false } = status;
  if (leader === null || leader === undefined) return ['leader', terminal.colour('yellow', 'none')];
  const minority = quorate ? '' : terminal.colour('yellow', ', without a majority of the ring');
  return ['leader', `${printable(leader)}, term ${term}${minority}`];
}

const PLACE_TEXTS: Readonly<Record<string, string>> = {
  removed: 'this node was removed for good',
  missing: 'this node was gone for long and is about to be put in again',
};

function lostText(terminal: Terminal, reason: string | null = null): string {
  return reason === null ? '' : terminal.colour('red', `, lost data before this start (${printable(reason)})`);
}

function placeText(terminal: Terminal, place = 'in'): string {
  if (place === 'in') return '';
  const what = PLACE_TEXTS[place] ?? `this node is ${printable(place)}`;
  return terminal.colour('yellow', `, ${what}: it owns no data`);
}

function shortageText({ freeBytes, headroomBytes = 0 }: z.infer<typeof STATUS>['disk']): string {
  if (freeBytes >= headroomBytes * HEADROOM_RECOVERY) return 'full: writes are refused';
  return `writes are refused until a quarter more than tuning.diskHeadroomBytes (${sizeText(headroomBytes)}) is free`;
}

function scrubText(terminal: Terminal, scrub: NonNullable<z.infer<typeof STATUS>['scrub']>): string {
  const { running, lastFinishedAt, corruptRecords } = scrub;
  const last = lastFinishedAt === null ? 'no pass finished yet' : `last pass finished ${printable(lastFinishedAt)}`;
  const bad = corruptRecords === 0 ? '' : terminal.colour('red', `, ${plural(corruptRecords, 'bad record')} found`);
  return `${last}${running ? ', one under way' : ''}${bad}`;
}

function clockText(offsetMs: number): string {
  const direction = offsetMs > 0 ? 'ahead' : 'behind';
  return `${durationText(Math.abs(offsetMs) / 1000)} ${direction}; the cluster's time is used. Set the clock (NTP)`;
}

function hintsText(hints: { records: number; bytes: number; dropped: number }): string {
  const waiting =
    hints.records === 0 ? 'none waiting' : `${plural(hints.records, 'write')} waiting (${sizeText(hints.bytes)})`;
  return hints.dropped === 0 ? waiting : `${waiting}, ${hints.dropped} dropped`;
}
