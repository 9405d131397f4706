import { earlier } from '../../lib/deadline-queue.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { ElectionMessage } from '../election/message.ts';
import { ELECTION_TIMING, type Voters } from '../election/options.ts';
import { ELECTORS_MAX, type Elector, type Electorate } from '../electorate/electorate.ts';
import type { Instant, NodeId } from '../machine.ts';
import type { Member } from '../membership/member.ts';
import type { ReplicationEvent } from '../replication/effect.ts';
import type { NodeEffect } from './effect.ts';
import type { NodeOptions } from './options.ts';
import { giveUp, type RefoundCommand, type RefoundOutcome, refoundPlan } from './refounding.ts';
import type { RingState } from './ring-state.ts';
import { StrongKeys, votersOf } from './strong-keys.ts';
import { ViewFollower } from './view-follower.ts';

export interface DecidersOptions extends NodeOptions {
  readonly use: (effect: NodeEffect) => void;
}

/** What the rest of the node is like. */
interface Surroundings {
  readonly catalog: Catalog;
  readonly rings: RingState;
  /** The instant with the cluster's wall clock. */
  readonly corrected: (now: Instant) => Instant;
}

interface RefoundHost {
  /** Answers now; this node itself does. */
  readonly isUp: (id: NodeId) => boolean;
  /** The catalog has changed. */
  readonly publish: () => void;
  readonly reply: (outcome: RefoundOutcome) => void;
}

/** Who decides: the leader of the view, the electorate, and the registers of which its majorities are. */
export class Deciders {
  readonly view: ViewFollower;
  readonly strong: StrongKeys;
  private readonly options: DecidersOptions;
  private readonly surroundings: Surroundings;
  /** Members, the ring or the electorate have changed in this turn. */
  private isViewNew = true;
  /** Who leads has changed in this turn, or what a leader is to work towards. */
  private isLeadNew = true;
  /** Until when leases may rest on electors of the epoch before. */
  private freshUntilMs: number | undefined;

  constructor(options: DecidersOptions, surroundings: Surroundings, now: Instant) {
    this.options = options;
    this.surroundings = surroundings;
    const { prng, use } = options;
    this.strong = new StrongKeys(
      {
        ...options,
        prng: prng.fork(),
        use: (effects) => {
          for (const effect of effects) {
            this.isViewNew ||= effect.type === 'event' && effect.event.type === 'electorate-changed';
            use(effect);
          }
        },
      },
      surroundings.corrected(now),
    );
    this.view = new ViewFollower(
      {
        ...options,
        hasHub: options.hub !== null,
        prng: prng.fork(),
        use: (effects) => {
          for (const effect of effects) {
            this.isLeadNew ||= effect.type === 'notify' && effect.event.type === 'leader-changed';
            use(effect.type === 'notify' ? { type: 'event', event: effect.event } : effect);
          }
        },
      },
      surroundings.rings.places,
      this.voters(now),
      now,
    );
  }

  get electorate(): Electorate | null {
    return this.strong.electorate;
  }

  /** An operator says that a majority is lost for good. */
  refound(command: RefoundCommand, { isUp, publish, reply }: RefoundHost, now: Instant): void {
    const { strong } = this;
    const { catalog, corrected } = this.surroundings;
    const { electorate, placements, founder } = strong;
    const plan = refoundPlan(command, { electorate, map: placements, catalog, founder, isUp });
    if (!plan.ok) return reply(plan);
    const { next, report } = plan;
    if (command.dryRun) return reply({ ok: true, report });
    giveUp(catalog, report, command.by);
    // On the disk, the ring is never behind: the leader makes it the electorate.
    publish();
    strong.refound(next, corrected(now), () => reply({ ok: true, report }));
  }

  /** Members or the ring have changed. */
  noteView(): void {
    this.isViewNew = true;
  }

  handleElection(from: NodeId, message: ElectionMessage, now: Instant): void {
    if (message.type === 'lease-ask') this.strong.handleEpoch(from, message.epoch);
    this.view.handle({ type: 'message', from, message }, now);
  }

  handleTimeout(now: Instant): void {
    this.strong.handleTimeout(this.surroundings.corrected(now));
    this.view.handleTimeout(now);
  }

  /** At the end of a turn: who leads, and the level of service, follow from how things stand then. */
  follow(members: () => readonly Member[], unfit: string | null, lacksCatalog: boolean, now: Instant): void {
    const { rings, corrected } = this.surroundings;
    if (this.freshUntilMs !== undefined && this.freshUntilMs <= now.monoMs) this.isViewNew = true;
    if (this.isViewNew) {
      this.isViewNew = false;
      this.isLeadNew = true;
      this.view.handleView(members(), rings.places, this.voters(now), now);
    }
    this.view.handleFitness(unfit, now);
    this.strong.handleCatalog(lacksCatalog, corrected(now));
    if (!this.isLeadNew) return;
    this.isLeadNew = false;
    const leadership = this.view.leadership(now);
    const leads = leadership?.leader === this.options.self && leadership.quorate;
    const lead = leads ? { term: leadership.term, target: this.electors() } : null;
    this.strong.follow(leadership?.leader ?? null, lead, corrected(now));
  }

  /** The disk is an older copy of itself. */
  handleEvent(event: ReplicationEvent, now: Instant): void {
    if (event.type === 'disk-rolled-back') this.strong.handleRollback(this.surroundings.corrected(now));
  }

  /** As the leader, keeps the ring in step with who is there. True: the catalog has changed. */
  tendRing(now: Instant): boolean {
    const step = this.view.takeRingStep(now);
    if (step === null) return false;
    const by = `the leader ${this.options.profile.name} in term ${this.view.term}`;
    const result = this.surroundings.catalog.changeMember(step.id, { place: step.place }, by);
    return result.ok && result.changed;
  }

  nextDeadline(): number | undefined {
    return earlier(this.view.nextDeadline(), earlier(this.strong.nextDeadline(), this.freshUntilMs));
  }

  /** Among whom a quorate leader needs a majority; null: among the ring's members. */
  private voters(now: Instant): Voters | null {
    const untilMs = this.strong.adoptedMs + ELECTION_TIMING.leaseMs;
    this.freshUntilMs = untilMs > now.monoMs ? untilMs : undefined;
    return votersOf(this.strong.electorate, untilMs > now.monoMs);
  }

  /** The members of the ring, as they should decide. */
  private electors(): Elector[] {
    const { catalog, rings } = this.surroundings;
    const members = rings.places.filter((place) => place.in);
    const electors = members.flatMap(({ id, weight, zone }) => {
      const own = catalog.ringRecord(id)?.own;
      return own === undefined || own.version === 0 ? [] : [{ id, weight, zone, disk: own.actor }];
    });
    return electors.slice(0, ELECTORS_MAX);
  }
}
