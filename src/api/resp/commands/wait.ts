import { HoldfastError } from '../../../lib/failure.ts';
import { parseInteger } from '../arguments.ts';
import { type CommandCall, type CommandSpec, command, type RespServices } from '../command.ts';
import { NOT_AN_INTEGER } from '../errors.ts';
import { fanOut } from '../keyspace.ts';
import { ErrorReply, type Reply } from '../reply.ts';
import type { UnconfirmedWrite, WriteLog } from '../write-log.ts';

const BAD_TIMEOUT = new ErrorReply('ERR timeout is not an integer or out of range');
const NEGATIVE_TIMEOUT = new ErrorReply('ERR timeout is negative');
/** Between two looks at writes that are not where they shall be; doubles. */
const PAUSE_MIN_MS = 5;
const PAUSE_MAX_MS = 500;

/**
 * `WAIT numreplicas timeout`. There is no master here whose copy would not count: the answer is the number of nodes
 * that have synced the writes of the connection to disk, all of them together. That is a majority of the owners
 * before any WAIT; more is found out by asking them, and more nodes than own a key never have it.
 */
export const WAIT_COMMANDS: readonly CommandSpec[] = [
  command({
    name: 'wait',
    arity: 3,
    flags: ['noscript'],
    barrier: true,
    group: 'generic',
    categories: ['@connection'],
    summary: 'Wait until the writes of the connection are synced on as many nodes',
    since: '3.0.0',
    complexity: 'O(N) where N is the number of recent writes of the connection',
    handler: handleWait,
  }),
];

async function handleWait({ services, session, args }: CommandCall): Promise<Reply> {
  const wanted = parseInteger(args[1] as Buffer);
  if (wanted === null) return NOT_AN_INTEGER;
  const timeoutMs = parseInteger(args[2] as Buffer);
  if (timeoutMs === null) return BAD_TIMEOUT;
  if (timeoutMs < 0) return NEGATIVE_TIMEOUT;
  const { writes } = session;
  const deadlineMs = timeoutMs === 0 ? Number.POSITIVE_INFINITY : performance.now() + timeoutMs;
  let pauseMs = PAUSE_MIN_MS;
  // What all owners have, or what is no longer followed, does not grow by waiting.
  for (let short = writes.shortOf(wanted); short.length > 0; short = writes.shortOf(wanted)) {
    const leftMs = deadlineMs - performance.now();
    if (leftMs <= 0 || session.closed) break;
    await untilOrTimeout(
      fanOut(short, (write) => lookUp(services, writes, write)),
      leftMs,
    );
    if (writes.shortOf(wanted).length === 0) break;
    await untilOrTimeout(null, Math.min(pauseMs, deadlineMs - performance.now()));
    pauseMs = Math.min(pauseMs * 2, PAUSE_MAX_MS);
  }
  const fewest = writes.fewest ?? ownersOf(services);
  writes.noteAnswered();
  return fewest;
}

/** A node that cannot tell now may be able to at the next look. */
async function lookUp({ keyspace }: RespServices, writes: WriteLog, write: UnconfirmedWrite): Promise<void> {
  try {
    const { nodes, owners } = await keyspace.confirm(write.key, write.dot);
    writes.noteNodes(write, nodes, owners);
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
  }
}

/** Nothing written is on every node that would have it. */
function ownersOf({ node }: RespServices): number {
  const { replicas, members } = node.ring();
  return Math.min(replicas, members.filter((member) => member.in).length);
}

/** Waits for some work as long as there is time, or only the time. */
async function untilOrTimeout(work: Promise<unknown> | null, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const time = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, Math.min(Math.max(0, ms), TIMER_MS_MAX));
  });
  try {
    await (work === null ? time : Promise.race([work, time]));
  } finally {
    clearTimeout(timer);
  }
}

/** A longer one would fire at once. */
const TIMER_MS_MAX = 2 ** 31 - 1;
