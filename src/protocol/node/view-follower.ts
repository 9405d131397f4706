import { earlier } from '../../lib/deadline-queue.ts';
import type { Prng } from '../../lib/prng.ts';
import type { RingPlace } from '../catalog/ring-record.ts';
import type { ElectionEffect, ElectionInput } from '../election/effect.ts';
import { Election, type Leadership } from '../election/election.ts';
import type { VoteRecord, Voters } from '../election/options.ts';
import { type Component, Components, type Sighting } from '../island/components.ts';
import { Island, type LevelEvent, type ServiceLevel, type Surroundings } from '../island/island.ts';
import type { Instant, NodeId } from '../machine.ts';
import { isReachable, type Member, type MemberState } from '../membership/member.ts';
import { RingSteward, type StewardOptions, type StewardStep } from './ring-steward.ts';

export interface ViewFollowerOptions extends StewardOptions {
  readonly self: NodeId;
  readonly vote: VoteRecord;
  readonly mayHaveVoted: boolean;
  readonly hasHub: boolean;
  readonly prng: Prng;
  readonly use: (
    effects: readonly (ElectionEffect | { readonly type: 'notify'; readonly event: LevelEvent })[],
  ) => void;
}

/** What this node's view of the members means: who leads, what a leader has to do about the ring, the level of service. */
export class ViewFollower {
  private readonly options: ViewFollowerOptions;
  private readonly election: Election;
  private readonly island: Island;
  private readonly parts: Components;
  private readonly steward: RingSteward;
  private places: readonly RingPlace[];
  /** This node led the whole ring in its last turn. */
  private isSteward = false;
  private viewText = '';
  private unfit: string | null = null;
  private uplink: Surroundings['uplink'];
  private seen = { members: 1, reachable: 1 };

  constructor(options: ViewFollowerOptions, places: readonly RingPlace[], voters: Voters | null, now: Instant) {
    this.options = options;
    this.election = new Election(options, voters ?? votersOf(places), now);
    this.island = new Island(now.monoMs);
    this.parts = new Components(options.self, now.monoMs);
    this.steward = new RingSteward(options);
    this.places = places;
    // It may take a moment until somebody has reached it.
    this.uplink = options.hasHub ? 'up' : 'none';
  }

  leadership(now: Instant): Leadership | null {
    return this.election.leadership(now);
  }

  /** Of the last leader that this node knew; it never falls. */
  get term(): number {
    return this.election.term;
  }

  get level(): { readonly level: ServiceLevel; readonly sinceMs: number } {
    return this.island;
  }

  /** How the ring is cut, as far as this node sees. */
  components(): readonly Component[] {
    return this.parts.all();
  }

  handle(input: Exclude<ElectionInput, { type: 'view' | 'voters' | 'unfit' }>, now: Instant): void {
    this.options.use(this.election.handle(input, now));
  }

  handleTimeout(now: Instant): void {
    // Of all the turns of a node, few are the election's.
    if ((this.election.nextDeadline() ?? Number.POSITIVE_INFINITY) <= now.monoMs) {
      this.options.use(this.election.handleTimeout(now));
    }
    this.tell(this.island.handleTimeout(now.monoMs));
  }

  /** Members or the ring have changed. `voters`: who decides, where that has been founded; else the ring's members do. */
  handleView(members: readonly Member[], places: readonly RingPlace[], voters: Voters | null, now: Instant): void {
    this.places = places;
    this.steward.follow(places, members, now);
    // Suspects are not waited for: where nobody is left to confirm that they are gone, it takes long until they are dead.
    const alive = members.filter(({ state }) => state === 'alive');
    const view = alive.map(({ id, profile, health }) => {
      // Of itself a node knows something else than of others: how far it trusts its own probes.
      return { id, score: profile.score, degraded: id !== this.options.self && health === 'degraded' };
    });
    const asked = voters ?? votersOf(places);
    this.followIsland(members, asked.groups[0] ?? [], now);
    const text = JSON.stringify([view, asked]);
    if (text === this.viewText) return;
    this.viewText = text;
    this.options.use(this.election.handle({ type: 'voters', ...asked }, now));
    this.options.use(this.election.handle({ type: 'view', members: view }, now));
  }

  /** Suspects count as here until they are dead: an alarm can wait, and most of them answer in a moment. */
  private followIsland(members: readonly Member[], voters: readonly NodeId[], now: Instant): void {
    const here = new Set(members.filter(({ state }) => isReachable(state)).map(({ id }) => id));
    const reachable = voters.filter((id) => here.has(id)).length;
    this.seen = { members: voters.length, reachable };
    this.tellIsland(now);
    const states = new Map(members.map(({ id, state }) => [id, state]));
    const ring = this.places.filter(({ place }) => place !== 'removed');
    this.parts.handle(
      ring.map(({ id }) => ({ id, standing: standingOf(states.get(id)) })),
      now.monoMs,
    );
  }

  /** The hub can be reached from this island from now on, or no more. */
  handleUplink(isUp: boolean, now: Instant): void {
    this.uplink = isUp ? 'up' : 'down';
    this.tellIsland(now);
  }

  /** The next change of the ring, where this node is the one to make it. */
  takeRingStep(now: Instant): StewardStep | null {
    const leadership = this.election.leadership(now);
    this.isSteward = leadership?.leader === this.options.self && leadership.quorate;
    return this.isSteward ? this.steward.step(this.places, now) : null;
  }

  /** Why this node must not lead; null: nothing is wrong with it. */
  handleFitness(unfit: string | null, now: Instant): void {
    if (unfit === this.unfit) return;
    this.unfit = unfit;
    this.options.use(this.election.handle({ type: 'unfit', reason: unfit }, now));
  }

  nextDeadline(): number | undefined {
    const stewardMs = this.isSteward ? this.steward.nextDeadline(this.places) : undefined;
    return earlier(earlier(this.election.nextDeadline(), this.island.nextDeadline()), stewardMs);
  }

  private tellIsland(now: Instant): void {
    this.tell(this.island.handle({ ...this.seen, uplink: this.uplink }, now.monoMs));
  }

  private tell(event: LevelEvent | null): void {
    if (event !== null) this.options.use([{ type: 'notify', event }]);
  }
}

function standingOf(state: MemberState | undefined): Sighting['standing'] {
  return state === 'alive' || state === 'suspect' ? state : 'gone';
}

/** The members that own shards: a majority of them may decide for the cluster. */
function votersOf(places: readonly RingPlace[]): Voters {
  return { epoch: 0, groups: [places.filter((place) => place.in).map(({ id }) => id)] };
}
