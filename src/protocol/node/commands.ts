import type { Failure } from '../../lib/failure.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { Instant, NodeId } from '../machine.ts';
import type { Deciders } from './deciders.ts';
import type { BucketOutcome, NodeEffect, NodeInput, RingOutcome } from './effect.ts';
import type { RefoundOutcome } from './refounding.ts';

type Command = Extract<NodeInput, { readonly type: 'put-bucket' | 'change-ring' | 'refound' }>;
type CommandOf<T extends Command['type']> = Extract<Command, { readonly type: T }>;

export interface CommandOptions {
  readonly self: NodeId;
  /** Copies in buckets that do not ask for a number. */
  readonly replicas: number;
  readonly catalog: Catalog;
  readonly deciders: Deciders;
  /** Why this node knows too little to take commands; null: it does not. */
  readonly refusal: () => Failure | null;
  /** Begins the cluster anew with this node; true where the catalog has changed. */
  readonly found: () => boolean;
  /** The catalog has changed. */
  readonly publish: () => void;
  readonly use: (effect: NodeEffect) => void;
}

/** What operators decide about the cluster as a whole. */
export class Commands {
  private readonly options: CommandOptions;

  constructor(options: CommandOptions) {
    this.options = options;
  }

  /** `isUp`: the peer answers. */
  handle(command: Command, isUp: (peer: NodeId) => boolean, now: Instant): void {
    switch (command.type) {
      case 'put-bucket':
        return this.putBucket(command);
      case 'change-ring':
        return this.changeRing(command);
      case 'refound':
        return this.refound(command, isUp, now);
    }
  }

  private putBucket({ id, name, config }: CommandOf<'put-bucket'>): void {
    const { catalog, replicas, publish, use } = this.options;
    const refusal = this.options.refusal();
    const outcome: BucketOutcome & { readonly created?: boolean } =
      refusal === null ? catalog.putBucket(name, config, replicas) : { ok: false, failure: refusal };
    if (outcome.ok && outcome.created === true) {
      use({ type: 'event', event: { type: 'bucket-created', bucket: name } });
      publish();
    }
    use({ type: 'bucket-reply', id, outcome });
  }

  private changeRing({ id, member, change, by }: CommandOf<'change-ring'>): void {
    const { self, catalog, refusal, found, publish, use } = this.options;
    // Nobody is left who could tell what the cluster was, says the operator.
    const isFounding = refusal() !== null && member === self && change.place === 'in';
    const result = isFounding ? ({ ok: true, changed: found() } as const) : catalog.changeMember(member, change, by);
    if (result.ok && result.changed) publish();
    const outcome: RingOutcome = result.ok ? { ...result, epoch: catalog.epoch() } : result;
    use({ type: 'ring-reply', id, outcome });
  }

  private refound({ id, command }: CommandOf<'refound'>, isUp: (peer: NodeId) => boolean, now: Instant): void {
    const { deciders, publish, use } = this.options;
    const refusal = this.options.refusal();
    const reply = (outcome: RefoundOutcome): void => use({ type: 'refound-reply', id, outcome });
    if (refusal !== null) reply({ ok: false, failure: refusal });
    else deciders.refound(command, { isUp, publish, reply }, now);
  }
}
