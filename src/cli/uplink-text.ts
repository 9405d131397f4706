import type { Uplink } from './shapes.ts';
import type { Terminal } from './terminal.ts';
import { durationText, plural } from './text.ts';

/** One line: whether the hub is reached, and what waits for it. */
export function uplinkText(terminal: Terminal, { connected, islandBacklog }: Uplink): string {
  const state = connected
    ? 'connected'
    : `${terminal.colour('yellow', 'not connected')} (\`holdfast hub-status\` says why)`;
  const waiting = islandBacklog.events === 0 ? 'nothing waits' : `${backlogText(islandBacklog)}, wait`;
  return `${state}, ${waiting} for it`;
}

/** What the hub has not got yet; a delete is a write, too. */
export function backlogText({ events, oldestSeconds }: Uplink['backlog']): string {
  return events === 0 ? 'nothing' : `${plural(events, 'write')}, the oldest for ${durationText(oldestSeconds)}`;
}
