import type { ForgedClaim } from './forgery.ts';
import { PLACED_BUCKETS } from './placed-buckets.ts';

interface Timed {
  /** How long it holds, in milliseconds of true time; less when the safety phase ends before. */
  readonly forMs: number;
}

/**
 * What can be done to a cluster. Plain data; nodes are named by index. Each fault ends by itself, so that any of them
 * can be left out of a schedule.
 */
export type Fault =
  /** A node that has not run yet starts. */
  | { readonly type: 'start'; readonly node: number }
  /** SIGKILL. `torn` (0 to 1): from 0.5 on the batch that was being synced has reached the disk, else nothing of it. */
  | { readonly type: 'crash'; readonly node: number; readonly downMs: number; readonly torn: number }
  /** A clean stop: goodbye, everything synced, then the process ends. */
  | { readonly type: 'restart'; readonly node: number; readonly downMs: number }
  /** Everything crashes at once; nodes start again up to `spreadMs` apart. */
  | { readonly type: 'mass-restart'; readonly downMs: number; readonly spreadMs: number; readonly torn: number }
  /** The node crashes and comes back on an empty disk. */
  | { readonly type: 'wipe'; readonly node: number; readonly downMs: number }
  /** A copy is made of the disk; later the node crashes and comes back on that copy. */
  | { readonly type: 'rollback'; readonly node: number; readonly afterMs: number; readonly downMs: number }
  /**
   * The node crashes later, and its store has to be repaired: some records are gone then, some are as they are now.
   * `draws` decides which.
   */
  | {
      readonly type: 'salvage';
      readonly node: number;
      readonly afterMs: number;
      readonly downMs: number;
      readonly draws: number;
    }
  /** One object's record on the disk goes bad; `pick` (0 to 1) chooses it. `found`: at once, or when it is next read. */
  | { readonly type: 'corrupt'; readonly node: number; readonly pick: number; readonly found: 'at-once' | 'on-read' }
  /** `headroom`: little space is left, and commits still succeed; `refused`: no commit does. */
  | ({ readonly type: 'disk-full'; readonly node: number; readonly kind: 'headroom' | 'refused' } & Timed)
  /** Syncs take up to `syncMaxMs`. */
  | ({ readonly type: 'slow-disk'; readonly node: number; readonly syncMaxMs: number } & Timed)
  /** SIGSTOP and SIGCONT: the process handles nothing; the kernel keeps its connections. */
  | ({ readonly type: 'pause'; readonly node: number } & Timed)
  /** The event loop is blocked by something synchronous; its timer fires before it reads what came meanwhile. */
  | ({ readonly type: 'block'; readonly node: number } & Timed)
  /** The wall clock of a node is off by `byMs`. */
  | ({ readonly type: 'clock-jump'; readonly node: number; readonly byMs: number } & Timed)
  /** Both clocks of a node run at `rate` times true speed. */
  | ({ readonly type: 'clock-drift'; readonly node: number; readonly rate: number } & Timed)
  /** Nothing passes between the groups, silently. */
  | ({ readonly type: 'partition'; readonly groups: readonly (readonly number[])[] } & Timed)
  /** Nothing passes between the nodes of each pair. */
  | ({ readonly type: 'cut'; readonly pairs: readonly (readonly [number, number])[] } & Timed)
  /** Neighbours in the row see each other, and nobody else: A-B-C chains. */
  | ({ readonly type: 'chain'; readonly row: readonly number[] } & Timed)
  /** What `from` sends to `to` vanishes; the other direction works. */
  | ({ readonly type: 'one-way'; readonly from: number; readonly to: readonly number[] } & Timed)
  /** The links of a node to the others are dead for a time and alive for a time, in turn. */
  | ({
      readonly type: 'flap';
      readonly node: number;
      readonly peers: readonly number[];
      readonly periodMs: number;
    } & Timed)
  /** Bad weather on all links, or on those of one node. */
  | ({
      readonly type: 'storm';
      readonly node: number | null;
      readonly loss: number;
      readonly latencyMaxMs: number;
    } & Timed)
  /** The node comes back under another address. */
  | { readonly type: 'new-address'; readonly node: number; readonly downMs: number }
  /** The node runs for a time in a version that shares no wire version with the others. */
  | ({ readonly type: 'other-version'; readonly node: number; readonly downMs: number } & Timed)
  /** An operator asks `node` to take a member out of the ring. */
  | { readonly type: 'ring-out'; readonly node: number; readonly member: number }
  /** … or to put it in again. */
  | { readonly type: 'ring-in'; readonly node: number; readonly member: number }
  /** … or to give it another weight; null: its own. */
  | { readonly type: 'ring-weight'; readonly node: number; readonly member: number; readonly weight: number | null }
  /** A client of the node creates one of `PLACED_BUCKETS`. */
  | { readonly type: 'create-bucket'; readonly node: number; readonly bucket: number }
  /** A member lies: it tells its peers what another has never said of itself. */
  | { readonly type: 'forge'; readonly node: number; readonly about: number; readonly claim: ForgedClaim };

export type FaultType = Fault['type'];

/** One readable line. */
export function faultText(fault: Fault): string {
  switch (fault.type) {
    case 'start':
      return `${name(fault.node)} starts`;
    case 'crash':
      return `${name(fault.node)} crashes for ${seconds(fault.downMs)}${fault.torn < 0.5 ? '' : ', its last batch synced'}`;
    case 'restart':
      return `${name(fault.node)} stops for ${seconds(fault.downMs)}`;
    case 'mass-restart':
      return `all crash for ${seconds(fault.downMs)} and start within ${seconds(fault.spreadMs)}`;
    case 'wipe':
      return `${name(fault.node)} crashes for ${seconds(fault.downMs)} and loses its disk`;
    case 'rollback':
      return `in ${seconds(fault.afterMs)} ${name(fault.node)} crashes for ${seconds(fault.downMs)} and has its disk of now again`;
    case 'salvage':
      return `in ${seconds(fault.afterMs)} ${name(fault.node)} crashes for ${seconds(fault.downMs)} and its store is repaired`;
    case 'corrupt':
      return `a record of ${name(fault.node)} goes bad, found ${fault.found}`;
    case 'disk-full':
      return `the disk of ${name(fault.node)} is full (${fault.kind}) for ${seconds(fault.forMs)}`;
    case 'slow-disk':
      return `${name(fault.node)} syncs in up to ${fault.syncMaxMs} ms for ${seconds(fault.forMs)}`;
    case 'pause':
      return `${name(fault.node)} is stopped for ${seconds(fault.forMs)}`;
    case 'block':
      return `the event loop of ${name(fault.node)} is blocked for ${seconds(fault.forMs)}`;
    case 'clock-jump':
      return `the wall clock of ${name(fault.node)} is off by ${seconds(fault.byMs)} for ${seconds(fault.forMs)}`;
    case 'forge':
      return `${name(fault.node)} forges "${name(fault.about)} ${fault.claim}"`;
    case 'ring-out':
      return `${name(fault.node)} is told that ${name(fault.member)} is out of the ring`;
    case 'ring-in':
      return `${name(fault.node)} is told that ${name(fault.member)} is in the ring`;
    case 'ring-weight':
      return `${name(fault.node)} is told that ${name(fault.member)} has weight ${fault.weight ?? 'of its own'}`;
    case 'create-bucket':
      return `${name(fault.node)} is asked to create bucket ${PLACED_BUCKETS[fault.bucket]?.name}`;
    case 'clock-drift':
      return `the clocks of ${name(fault.node)} run at ${fault.rate} for ${seconds(fault.forMs)}`;
    default:
      return linkFaultText(fault);
  }
}

type LinkFault = Extract<
  Fault,
  { type: 'partition' | 'cut' | 'chain' | 'one-way' | 'flap' | 'storm' | 'new-address' | 'other-version' }
>;

function linkFaultText(fault: LinkFault): string {
  switch (fault.type) {
    case 'partition':
      return `partition ${fault.groups.map(names).join(' | ')} for ${seconds(fault.forMs)}`;
    case 'cut':
      return `no link ${fault.pairs.map(([a, b]) => `${name(a)}-${name(b)}`).join(', ')} for ${seconds(fault.forMs)}`;
    case 'chain':
      return `chain ${fault.row.map(name).join('-')} for ${seconds(fault.forMs)}`;
    case 'one-way':
      return `nothing from ${name(fault.from)} to ${names(fault.to)} for ${seconds(fault.forMs)}`;
    case 'flap':
      return `${name(fault.node)} to ${names(fault.peers)} flaps every ${fault.periodMs} ms for ${seconds(fault.forMs)}`;
    case 'storm': {
      const where = fault.node === null ? 'everywhere' : `at ${name(fault.node)}`;
      return `${Math.round(fault.loss * 100)} % loss, up to ${fault.latencyMaxMs} ms ${where} for ${seconds(fault.forMs)}`;
    }
    case 'new-address':
      return `${name(fault.node)} crashes for ${seconds(fault.downMs)} and moves to another address`;
    case 'other-version':
      return `${name(fault.node)} speaks another version for ${seconds(fault.forMs)}`;
  }
}

function name(node: number): string {
  return `n${node + 1}`;
}

function names(nodes: readonly number[]): string {
  return nodes.map(name).join(',');
}

function seconds(ms: number): string {
  return `${Math.round(ms / 100) / 10} s`;
}
