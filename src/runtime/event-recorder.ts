import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { ClusterEvent } from '../ports/node-handle.ts';
import type { NodeId } from '../protocol/machine.ts';
import { isDegraded, type Member } from '../protocol/membership/member.ts';
import type { NodeEvent } from '../protocol/node/effect.ts';
import { CATALOG_LOST } from '../protocol/node/lost-catalog.ts';
import { EVENT_LEVELS, type EventName } from './event-levels.ts';
import { EventLog } from './event-log.ts';
import { ReplicaCounts } from './replica-counts.ts';
import { ringEventData } from './ring-events.ts';

export interface EventRecorderOptions {
  /** Names this run of the process. */
  readonly run: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly self: NodeId;
  /** `tuning.replicas` of this node. */
  readonly replicas: number;
  readonly nameOf: (id: NodeId) => string;
  /** The place of this node in the ring has changed. */
  readonly onPlace: () => void;
}

/** Tells operators what happens: each event in the feed and, at its level, in the log. */
export class EventRecorder {
  readonly feed: EventLog;
  private readonly options: EventRecorderOptions;
  private readonly degraded = new Set<NodeId>();
  private readonly replicaCounts: ReplicaCounts;

  constructor(options: EventRecorderOptions) {
    this.options = options;
    this.feed = new EventLog(options.run);
    this.replicaCounts = new ReplicaCounts(options.replicas);
  }

  /** `advice`: a sentence for the log. */
  append(type: EventName, data: ClusterEvent['data'], advice?: string): void {
    const { clock, log } = this.options;
    this.feed.append(type, data, clock.now().wallMs);
    // Taken in log lines: there `name` is that of the logger, and `level` the severity.
    const { name, level, ...rest } = data;
    const fields = {
      ...(name === undefined ? {} : { member: name }),
      ...(level === undefined ? {} : { serviceLevel: level }),
      ...rest,
    };
    log[EVENT_LEVELS[type]](advice === undefined ? type : `${type}: ${advice}`, fields);
  }

  handle(event: NodeEvent): void {
    switch (event.type) {
      case 'member-changed':
        return this.handleMember(event.member, event.previous);
      case 'clock-wrong':
        return this.append(
          event.type,
          { offsetMs: event.offsetMs },
          "the clock of this machine is wrong: set it, and keep it set with NTP (chrony, systemd-timesyncd); until then the cluster's time is used",
        );
      case 'shard-complete':
      case 'shard-dropped':
        // One a shard would drown everything else; progress is in `status` and `ring`.
        return this.options.log.debug(event.type, { shard: event.shard });
      case 'catalog-lost':
        return this.append(event.type, {}, CATALOG_LOST.message);
      case 'leader-changed': {
        const { leader, term, quorate } = event;
        const data = leader === null ? {} : { leader: this.options.nameOf(leader), peerId: leader };
        return this.append(event.type, { ...data, term, quorate });
      }
      case 'electorate-refounded': {
        const { type, epoch, electors, lost, by } = event;
        const namesOf = (ids: readonly NodeId[]): string => ids.map(this.options.nameOf).join(', ');
        const data = { epoch, electors: namesOf(electors), lost: namesOf(lost), by };
        return this.append(type, data, 'strong values that only the lost members had are gone');
      }
      case 'ring-changed':
        return this.handleRing(event);
      default: {
        const { type, ...data } = event;
        this.append(type, data);
      }
    }
  }

  private handleMember(member: Member, previous: Member['state'] | null): void {
    const { name, bootEpoch } = member.profile;
    this.recordHealth(member);
    this.recordReplicas(member);
    if (member.state === previous) return;
    this.append(`member-${member.state}`, { name, peerId: member.id, bootEpoch, previous: previous ?? 'none' });
  }

  private handleRing(event: Extract<NodeEvent, { type: 'ring-changed' }>): void {
    const { self, nameOf, onPlace } = this.options;
    for (const data of ringEventData(event, nameOf)) this.append('ring-changed', data);
    if (event.differences.some(({ id }) => id === self)) onPlace();
  }

  private recordReplicas(member: Member): void {
    const other = this.replicaCounts.differenceOf(member);
    if (other === null) return;
    const own = this.options.replicas;
    const { name } = member.profile;
    this.append(
      'replicas-differ',
      { name, peerId: member.id, own, other },
      `tuning.replicas is ${own} here and ${other} at ${name}: each node goes by its own number, so that shards between them stay incomplete, and requests at level all fail; set the same on all nodes, and restart those that differ`,
    );
  }

  private recordHealth(member: Member): void {
    const { id, state, profile, missedProbes, errorRate, rttMs } = member;
    const isUnwell = isDegraded(member);
    if (isUnwell === this.degraded.has(id)) return;
    if (isUnwell) this.degraded.add(id);
    else this.degraded.delete(id);
    // A member that is gone is not well again.
    if (!isUnwell && state !== 'alive') return;
    this.append(isUnwell ? 'member-degraded' : 'member-healthy', {
      name: profile.name,
      peerId: id,
      missedProbes,
      errorRate: Math.round(errorRate * 1000) / 1000,
      ...(rttMs === null ? {} : { rttMs: Math.round(rttMs * 100) / 100 }),
    });
  }
}
