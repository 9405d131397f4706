import { failure, HoldfastError } from '../lib/failure.ts';
import type { Clock } from '../ports/clock.ts';
import type { ShareView } from '../ports/hub-handle.ts';
import type { HubStore, ObjectName, Share } from '../ports/hub-store.ts';
import type { Log } from '../ports/log.ts';
import { ShareCopier } from './share-copier.ts';
import { givingProblem, namedBuckets, requireShownBucket } from './site-buckets.ts';
import type { SiteKeys } from './site-keys.ts';
import { Slots } from './slots.ts';

/** How often a store is asked what other processes share. */
const POLL_MS = 5000;
/** Keys that are copied at once, of all shares: what one site writes may go to very many, and clients are to have their turn. */
const COPIES_MAX = 16;

export interface SharesParts {
  readonly store: HubStore;
  readonly keys: Pick<SiteKeys, 'read' | 'mutate' | 'list'>;
  readonly clock: Clock;
  readonly log: Log;
}

interface Shared {
  readonly share: Share;
  readonly copier: ShareCopier;
}

/** Buckets that sites are given from others. Every process copies all of them: two that do the same do it twice, at no harm. */
export class Shares {
  private readonly parts: SharesParts;
  private readonly slots = new Slots(COPIES_MAX);
  private readonly shared = new Map<string, Shared>();
  /** Those of a giver. */
  private byGiver: ReadonlyMap<string, readonly ShareCopier[]> = new Map();
  private cancel: (() => void) | null = null;
  private polling: Promise<void> = Promise.resolve();
  private isStopped = false;

  constructor(parts: SharesParts) {
    this.parts = parts;
  }

  start(): void {
    this.polling = this.poll();
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    this.cancel?.();
    await this.polling;
    await Promise.all([...this.shared.values()].map(({ copier }) => copier.stop()));
  }

  /** Keys of a site may have changed; buckets by the names that the site keeps them by. */
  noteChanged(site: string, names: Iterable<ObjectName>): void {
    const copiers = this.byGiver.get(site);
    if (copiers === undefined) return;
    for (const { bucket, key } of names) for (const copier of copiers) copier.noteChanged(bucket, key);
  }

  /** The site was removed, and with it what it gives and is given: nothing of that is for another one of its name. */
  async noteRemoved(site: string): Promise<void> {
    await this.drop(({ share: { to, from } }) => to === site || from === site);
  }

  /** Those that the site gives or is given. Throws a HubStoreError. */
  async of(site: string): Promise<readonly ShareView[]> {
    const all = await this.parts.store.shares();
    await this.follow(all);
    return all
      .filter(({ to, from }) => to === site || from === site)
      .map((share): ShareView => {
        const copier = this.shared.get(idOf(share))?.copier;
        return { ...share, checkedMs: copier?.checkedMs ?? null, problem: copier?.problem ?? null };
      });
  }

  /**
   * A bucket that the site does not have yet may come. Throws `bucket-not-found` (of the giver), `not-synced-down`,
   * `share-exists`, `bad-request`; a HubStoreError.
   */
  async add(share: Omit<Share, 'createdMs'>): Promise<void> {
    const { store, clock, log } = this.parts;
    const { to, bucket, from } = share;
    requireShownBucket(from, await store.buckets(from), bucket);
    const all = await store.shares();
    if (givers(all, from, bucket).includes(to)) throw circle(share);
    const target = namedBuckets(await store.buckets(to)).find(({ shown: { name } }) => name === bucket);
    const problem = target === undefined ? null : givingProblem(to, target.shown);
    // Its settings are for life.
    if (problem !== null) throw new HoldfastError(failure('not-synced-down', problem));
    if (!(await store.addShare({ ...share, createdMs: clock.now().wallMs }))) {
      const known = all.find((other) => other.to === to && other.bucket === bucket);
      if (known?.from === from) return;
      throw new HoldfastError(
        failure(
          'share-exists',
          `${to} is given the bucket ${bucket} by ${known?.from ?? 'another site'}; take that back first`,
        ),
      );
    }
    const now = await store.shares();
    // Somebody else has closed it at its other end at the same time.
    if (givers(now, from, bucket).includes(to)) {
      await store.removeShare(share);
      throw circle(share);
    }
    log.info('a bucket is shared', { from, bucket, to });
    await this.follow(now);
  }

  /** What the site was given it keeps. Throws `share-not-found`; a HubStoreError. */
  async remove(share: Pick<Share, 'to' | 'bucket'>): Promise<void> {
    const { store, log } = this.parts;
    const { to, bucket } = share;
    if (!(await store.removeShare(share))) {
      throw new HoldfastError(
        failure(
          'share-not-found',
          `${to} is not given the bucket ${bucket}; GET /v1/sites/${to}/shares lists what it is`,
        ),
      );
    }
    log.info('a bucket is not shared any more', { bucket, to });
    await this.follow(await store.shares());
  }

  /** Never rejects. */
  private async poll(): Promise<void> {
    const { store, clock } = this.parts;
    const isKnown = await store.shares().then(
      (all) => this.follow(all).then(() => true),
      () => false,
    );
    if (this.isStopped || (isKnown && !store.isShared)) return;
    this.cancel = clock.after(POLL_MS, () => {
      this.polling = this.poll();
    });
  }

  private async follow(all: readonly Share[]): Promise<void> {
    if (this.isStopped) return;
    const wanted = new Map(all.map((share) => [idOf(share), share]));
    for (const [id, share] of wanted) {
      if (this.shared.has(id)) continue;
      const copier = new ShareCopier({ ...this.parts, slots: this.slots, share });
      this.shared.set(id, { share, copier });
      copier.start();
    }
    await this.drop(({ share }) => !wanted.has(idOf(share)));
  }

  /** Resolves once nothing is copied for these any more. */
  private async drop(isGone: (shared: Shared) => boolean): Promise<void> {
    const gone = [...this.shared].filter(([, shared]) => isGone(shared));
    for (const [id] of gone) this.shared.delete(id);
    const byGiver = new Map<string, ShareCopier[]>();
    for (const { share, copier } of this.shared.values()) {
      byGiver.set(share.from, [...(byGiver.get(share.from) ?? []), copier]);
    }
    this.byGiver = byGiver;
    await Promise.all(gone.map(([, { copier }]) => copier.stop()));
  }
}

/** One that was removed and added again is another one. */
function idOf({ to, bucket, from, createdMs }: Share): string {
  return JSON.stringify([to, bucket, from, createdMs]);
}

function circle({ to, bucket, from }: Omit<Share, 'createdMs'>): HoldfastError {
  const cause = to === from ? `${to} has it itself` : `${from} is given it by ${to}, perhaps by way of others`;
  return new HoldfastError(failure('bad-request', `the bucket ${bucket} cannot be given to ${to}: ${cause}`));
}

/** The site itself, who gives it the bucket, who gives it to that one, and so on. */
function givers(all: readonly Share[], site: string, bucket: string): string[] {
  const found = [site];
  for (let giver: string | undefined = site; giver !== undefined; ) {
    const to: string = giver;
    giver = all.find((share) => share.to === to && share.bucket === bucket)?.from;
    if (giver === undefined || found.includes(giver)) break;
    found.push(giver);
  }
  return found;
}
