import { NOTHING } from '../causal/context.ts';
import type { NodeId } from '../machine.ts';
import type { ReplicationCore } from './core.ts';
import type { BareStep, Shard } from './shard-table.ts';

export interface BareEventsHooks {
  readonly ask: (peer: NodeId, shard: Shard) => void;
  /** True when this node may keep hints of the shard. */
  readonly mayHaveHints: (shard: number) => boolean;
}

/**
 * When a salvaged replica may take its bare events for what it has of them. Another owner, or a hint on any member, may
 * have such an event with what it had replaced; were this replica to pass it on without, owners would end up with equal
 * contexts and different entries. So where the sources have not sent an event, every member says that it keeps no hint
 * of the shard, this node hands over its own, and then the owners, who got the hints, are synced with once more. What
 * nobody has sent by then nobody will.
 */
export class BareEvents {
  private readonly core: ReplicationCore;
  private readonly hooks: BareEventsHooks;

  constructor(core: ReplicationCore, hooks: BareEventsHooks) {
    this.core = core;
    this.hooks = hooks;
  }

  /** To be called when nobody is left among the shard's sources. False: not yet, and there may be further ones. */
  settle(shard: Shard): boolean {
    const { ring } = this.core;
    if (shard.bare.isEmpty) return true;
    if (shard.bareStep === 'sources' && this.turnTo(shard, 'hints', ring.remaining)) return false;
    if (shard.bareStep === 'hints' && this.hooks.mayHaveHints(shard.id)) return false;
    if (shard.bareStep === 'hints' && this.turnTo(shard, 'owners', ring.owners(shard.id))) return false;
    if (!shard.owned) return this.release(shard);
    return true;
  }

  /**
   * Who only holds the shard is sent nothing: of an event that some owners have, and had with what it had replaced, the
   * others have to hear from those.
   */
  private release(shard: Shard): boolean {
    const others = this.core.ring.owners(shard.id).filter((owner) => !this.core.ring.isGone(owner));
    const known = others.map((owner) => shard.known.get(owner) ?? NOTHING);
    for (const context of known) {
      const some = shard.bare.intersection(context);
      if (!known.every((other) => other.covers(some))) return false;
    }
    this.core.shards.confirm(shard, shard.bare);
    return true;
  }

  /** False when there is nobody to turn to. */
  private turnTo(shard: Shard, step: BareStep, nodes: readonly NodeId[]): boolean {
    shard.bareStep = step;
    this.core.shards.becomeIncomplete(shard, nodes);
    for (const source of shard.sources) this.hooks.ask(source, shard);
    return shard.sources.size > 0;
  }
}
