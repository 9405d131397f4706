import type { SiteRecord } from '../ports/hub-store.ts';
import type { ActorId } from '../protocol/causal/dot.ts';

/** Names of this process' events at one site. */
export interface OwnActor {
  readonly actor: ActorId;
  /** Of each shard the highest counter that was used, whether or not the write came about. */
  readonly used: Map<number, number>;
}

/**
 * The names that this process gives to its own events. A database that is restored from a copy has forgotten the latest of
 * them: the process remembers them itself, and the next process has names of its own. So has a site that was removed and
 * made anew: its cluster may know the events of the first one.
 */
export class OwnEvents {
  private readonly drawActor: () => ActorId;
  private readonly bySite = new Map<string, OwnActor & { readonly createdMs: number }>();

  constructor(drawActor: () => ActorId) {
    this.drawActor = drawActor;
  }

  of({ name, createdMs }: Pick<SiteRecord, 'name' | 'createdMs'>): OwnActor {
    const known = this.bySite.get(name);
    if (known !== undefined && known.createdMs === createdMs) return known;
    const drawn = { actor: this.drawActor(), used: new Map<number, number>(), createdMs };
    this.bySite.set(name, drawn);
    return drawn;
  }
}
