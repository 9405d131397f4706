import type { NodeId } from '../../../src/protocol/machine.ts';
import { isMembershipMessage } from '../../../src/protocol/membership/message.ts';
import { type Checker, Problems, RunAborted } from './checker.ts';
import type { Truth } from './truth.ts';

/** Seconds of the quiet end that are measured. */
const QUIET_SECONDS = 10;
/** Bytes a second and node. Of idle membership about 400 were measured with 3 to 6 nodes; the goal is 2000 with 10. */
const QUIET_MEMBERSHIP_BYTES = 1000;
/** Everything together: anti-entropy and the catalog compare digests now and then. */
const QUIET_BYTES = 1500;
/**
 * What no node sends in one second however bad things are; beyond it messages answer each other without end. The most
 * of membership in 80 runs: 85 messages and 16 kB. Of all it was 373 and 60 kB before clients followed a bucket: these
 * list it anew when links return, with a read for each key that differs (4,000 messages where 1,700 writes had been
 * going on all the time).
 */
const STORM = { messages: 6000, bytes: 2_000_000, membershipMessages: 500, membershipBytes: 200_000 };
/** So many times the measure, the run is not worth its time any more. */
const ABORT_EXCESS = 4;
/** Turns at one moment of true time after which time is taken to stand still for good. */
const TURNS_AT_ONCE = 100_000;

const STORM_KINDS = Object.keys(STORM) as (keyof typeof STORM)[];

/** What one node has sent, second by second, for as long as it is looked back. */
class Sent {
  readonly messages = new Float64Array(QUIET_SECONDS + 2);
  readonly membershipMessages = new Float64Array(QUIET_SECONDS + 2);
  readonly bytes = new Float64Array(QUIET_SECONDS + 2);
  readonly membershipBytes = new Float64Array(QUIET_SECONDS + 2);
  private second = -1;

  /** The place of a second; seconds in between were silent. */
  at(second: number): number {
    for (const { length } = this.messages; this.second < second; this.second++) {
      const next = (this.second + 1) % length;
      this.messages[next] = 0;
      this.membershipMessages[next] = 0;
      this.bytes[next] = 0;
      this.membershipBytes[next] = 0;
    }
    return second % this.messages.length;
  }

  count(second: number, bytes: number, isMembership: boolean): void {
    const at = this.at(second);
    add(this.messages, at, 1);
    add(this.bytes, at, bytes);
    if (!isMembership) return;
    add(this.membershipMessages, at, 1);
    add(this.membershipBytes, at, bytes);
  }

  /** What has gone beyond all measure in the present second. */
  storm(): keyof typeof STORM | null {
    for (const kind of STORM_KINDS) if (this.present(kind) > STORM[kind]) return kind;
    return null;
  }

  present(kind: keyof typeof STORM): number {
    return this[kind][this.second % this.messages.length] as number;
  }

  mean(sums: Float64Array, lastSecond: number): number {
    let sum = 0;
    for (let second = lastSecond - QUIET_SECONDS + 1; second <= lastSecond; second++) {
      sum += sums[second % sums.length] as number;
    }
    return sum / QUIET_SECONDS;
  }
}

function add(sums: Float64Array, at: number, amount: number): void {
  sums[at] = (sums[at] as number) + amount;
}

/**
 * Messages and bytes are bounded: no storm at any time, and next to nothing once everything is quiet. `isDeadlocked`: the
 * electorate can never change again, which its leader goes on trying; that is not quiet.
 */
export function trafficChecker(truth: Truth, isDeadlocked: () => boolean): Checker {
  const problems = new Problems('traffic');
  const sent = new Map<NodeId, Sent>();
  let turnsMs = 0;
  let turns = 0;

  const sentBy = (id: NodeId): Sent => {
    let own = sent.get(id);
    if (own === undefined) {
      own = new Sent();
      sent.set(id, own);
    }
    return own;
  };

  return {
    name: 'traffic',
    turn: ({ name }) => {
      if (truth.clock.nowMs !== turnsMs) turns = 0;
      turnsMs = truth.clock.nowMs;
      if (++turns > TURNS_AT_ONCE) throw new RunAborted(`traffic: ${name} takes turn after turn at ${turnsMs} ms`);
    },
    message: (from, _to, message, bytes) => {
      const own = sentBy(from.id);
      own.count(Math.floor(truth.clock.nowMs / 1000), bytes, isMembershipMessage(message));
      const storm = own.storm();
      if (storm === null) return;
      const excess = own.present(storm) / STORM[storm];
      problems.add(`${from.name} sends more than ${STORM[storm]} ${storm} in one second`);
      if (excess > ABORT_EXCESS)
        throw new RunAborted(`traffic: ${from.name} sends ${own.present(storm)} ${storm} in one second`);
    },
    check: () => {
      const lastSecond = Math.floor(truth.clock.nowMs / 1000) - 1;
      for (const { id, name } of truth.nodes) {
        const own = sentBy(id);
        own.at(lastSecond + 1);
        const membership = own.mean(own.membershipBytes, lastSecond);
        const all = own.mean(own.bytes, lastSecond);
        if (membership > QUIET_MEMBERSHIP_BYTES) {
          problems.add(`idle ${name} sends ${Math.round(membership)} bytes of membership a second`);
        }
        if (all > QUIET_BYTES && !isDeadlocked()) problems.add(`idle ${name} sends ${Math.round(all)} bytes a second`);
      }
      return problems.all();
    },
  };
}
