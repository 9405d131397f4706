import { Prng } from '../../src/lib/prng.ts';
import type { RingChange } from '../../src/protocol/catalog/ring-record.ts';
import type { SimCluster } from './cluster.ts';
import type { CopyLedger } from './copy-ledger.ts';
import { repaired } from './disk-damage.ts';
import { type Fault, faultText } from './fault.ts';
import { forge } from './forgery.ts';
import { addressOf } from './network.ts';
import { configOf, PLACED_BUCKETS, type SimBucket } from './placed-buckets.ts';
import type { Link, SimNode } from './sim-node.ts';
import { StrongLosses } from './strong-losses.ts';
import type { VirtualDisk } from './virtual-disk.ts';

/** Wire versions of a node that has nothing in common with the others. */
const OTHER_VERSIONS = { min: 2, max: 2 };
/** The share of a batch's time after which it is on the disk. */
const TORN_HALF = 0.5;

type FaultOf<T extends Fault['type']> = Extract<Fault, { readonly type: T }>;
type LinkFault = FaultOf<'partition' | 'cut' | 'chain' | 'one-way' | 'flap' | 'storm'>;
type NodeFault = Exclude<Fault, LinkFault | FaultOf<'mass-restart'>>;

/** After the last fault: by then everybody has heard of what anybody knows. */
const BUCKET_CHECK_MS = 10_000;

/** Does to a cluster what a schedule says, and takes it back in time. */
export class FaultInjector {
  private readonly cluster: SimCluster;
  private readonly ledger: CopyLedger;
  private readonly note: (text: string) => void;
  private readonly onBucket: (bucket: SimBucket) => void;
  private readonly losses: StrongLosses;
  /** What ends the faults that hold now. */
  private readonly ends = new Set<() => void>();
  private readonly storms = new Set<FaultOf<'storm'>>();
  /** Nodes with a new disk that may not have everything yet. */
  private readonly wiped = new Set<SimNode>();
  private readonly moves = new Map<SimNode, number>();
  /** Those that have been created. */
  private readonly buckets = new Set<SimBucket>();

  /** `onBucket`: clients may use the bucket from now on. */
  constructor(
    cluster: SimCluster,
    ledger: CopyLedger,
    note: (text: string) => void,
    onBucket: (bucket: SimBucket) => void = () => undefined,
    losses = new StrongLosses(cluster.nodes),
  ) {
    this.losses = losses;
    this.onBucket = onBucket;
    this.cluster = cluster;
    this.ledger = ledger;
    this.note = note;
  }

  inject(fault: Fault): void {
    const done = this.begin(fault);
    this.note(`${done ? '' : 'passed over: '}${faultText(fault)}`);
  }

  /** Takes everything back: links, clocks, disks, versions; whatever is down starts. */
  endAll(): void {
    const { cluster } = this;
    for (const end of this.ends) end();
    cluster.heal();
    for (const node of cluster.nodes) {
      cluster.correctClock(node);
      cluster.start(node);
    }
    for (const node of cluster.nodes) {
      node.disk.scrub((shard, name) => cluster.reportLost(node, shard, name));
      node.disk.registers.scrub((record) => cluster.reportBadRegister(node, record));
    }
    cluster.clock.after(BUCKET_CHECK_MS, () => this.createLostBuckets());
  }

  /** The only disk that knew of a bucket may have lost it: the data are there, and come back when it is created again. */
  private createLostBuckets(): void {
    const { nodes } = this.cluster;
    for (const bucket of this.buckets) {
      const isKnown = nodes.some(({ running }) => {
        const placements = running?.node.placements;
        return placements?.knowsShard(placements.shardOf(bucket.dataName, '')) === true;
      });
      if (!isKnown) this.cluster.putBucket(nodes[0] as SimNode, bucket.name, configOf(bucket));
    }
  }

  /** False when the fault makes no sense now. */
  private begin(fault: Fault): boolean {
    switch (fault.type) {
      case 'mass-restart':
        return this.massRestart(fault);
      case 'partition':
      case 'cut':
      case 'chain':
      case 'one-way':
        this.hold(fault.forMs, this.blockAll(this.linksOf(fault)));
        return true;
      case 'flap':
        this.flap(fault);
        return true;
      case 'storm':
        this.storms.add(fault);
        this.applyStorms();
        this.hold(fault.forMs, () => {
          this.storms.delete(fault);
          this.applyStorms();
        });
        return true;
      default:
        return this.beginAt(fault, this.cluster.nodes[fault.node] as SimNode);
    }
  }

  private beginAt(fault: NodeFault, node: SimNode): boolean {
    const { cluster } = this;
    if (fault.type === 'start') {
      const isNew = node.runs === 0;
      cluster.start(node);
      return isNew;
    }
    const { running } = node;
    if (running === null) return false;
    switch (fault.type) {
      case 'crash':
        this.crashFor(node, fault.downMs, fault.torn);
        return true;
      case 'restart':
        cluster.stop(node);
        this.startWhenDown(node, fault.downMs);
        return true;
      case 'wipe':
        return this.wipe(node, fault.downMs);
      case 'rollback':
        this.rollback(node, fault);
        return true;
      case 'salvage':
        this.salvage(node, fault);
        return true;
      case 'corrupt':
        return this.corrupt(node, fault);
      case 'pause':
      case 'block':
        if (running.held !== null) return false;
        cluster.pause(node);
        this.hold(fault.forMs, () => {
          if (node.running === running) cluster.resume(node, fault.type === 'block');
        });
        return true;
      case 'new-address':
        this.crashFor(node, fault.downMs, 0);
        this.moves.set(node, (this.moves.get(node) ?? 1) + 1);
        node.address = addressOf(node.name, this.moves.get(node) ?? 1);
        return true;
      case 'forge':
        return forge(cluster, node, cluster.nodes[fault.about] as SimNode, fault.claim);
      case 'other-version':
        this.otherVersion(node, fault);
        return true;
      case 'create-bucket': {
        const bucket = PLACED_BUCKETS[fault.bucket] as SimBucket;
        if (!cluster.putBucket(node, bucket.name, configOf(bucket))) return false;
        this.buckets.add(bucket);
        this.onBucket(bucket);
        return true;
      }
      case 'ring-out':
        return this.takeOut(node, cluster.nodes[fault.member] as SimNode);
      case 'ring-in':
      case 'ring-weight':
        return cluster.changeRing(node, cluster.nodes[fault.member] as SimNode, changeOf(fault));
      default:
        this.trouble(node, fault);
        return true;
    }
  }

  private takeOut(node: SimNode, member: SimNode): boolean {
    const { cluster } = this;
    // Alone, a node takes over copies that nobody else will have; a bad record among its own, not found yet, is lost then.
    const isLastBut = node.running?.node.ring.memberCount === 2;
    if (isLastBut && cluster.nodes.some(({ disk }) => disk.hasDamage)) return false;
    return cluster.changeRing(node, member, { place: 'out' });
  }

  /** Faults of the disk and of the clocks. */
  private trouble(node: SimNode, fault: FaultOf<'disk-full' | 'slow-disk' | 'clock-jump' | 'clock-drift'>): void {
    const { cluster } = this;
    const { troubles } = node;
    switch (fault.type) {
      case 'disk-full':
        if (fault.kind === 'refused') {
          troubles.refusing++;
          this.hold(fault.forMs, () => void troubles.refusing--);
          return;
        }
        troubles.low++;
        cluster.setWritable(node, false);
        this.hold(fault.forMs, () => {
          if (--troubles.low === 0) cluster.setWritable(node, true);
        });
        return;
      case 'slow-disk':
        troubles.syncMaxMs.push(fault.syncMaxMs);
        this.hold(fault.forMs, () => void troubles.syncMaxMs.splice(troubles.syncMaxMs.indexOf(fault.syncMaxMs), 1));
        return;
      case 'clock-jump':
        node.clock.jump(fault.byMs);
        this.hold(fault.forMs, () => node.clock.jump(-fault.byMs));
        return;
      case 'clock-drift':
        cluster.setRate(node, fault.rate);
        this.hold(fault.forMs, () => cluster.setRate(node, 1));
    }
  }

  private crashFor(node: SimNode, downMs: number, torn: number): void {
    this.cluster.crash(node, torn >= TORN_HALF);
    this.cluster.clock.after(downMs, () => this.cluster.start(node));
  }

  private startWhenDown(node: SimNode, downMs: number): void {
    const { cluster } = this;
    cluster.clock.after(100, () => {
      if (node.running !== null) this.startWhenDown(node, downMs);
      else cluster.clock.after(downMs, () => cluster.start(node));
    });
  }

  private massRestart(fault: FaultOf<'mass-restart'>): boolean {
    const { cluster } = this;
    const up = cluster.nodes.filter(({ running }) => running !== null);
    for (const node of up) {
      this.crashFor(node, fault.downMs + cluster.prng.float() * fault.spreadMs, fault.torn);
    }
    return up.length > 0;
  }

  /** Only while all other disks have what they should: two losses at once may legitimately lose data. */
  private wipe(node: SimNode, downMs: number): boolean {
    const { disk } = node;
    if (this.isRecovering(node) || this.ledger.isLastHolder(disk)) return false;
    this.crashFor(node, downMs, 0);
    this.cluster.replaceDisk(node);
    this.noteLoss(node, disk);
    return true;
  }

  private rollback(node: SimNode, fault: FaultOf<'rollback'>): void {
    const copy = node.disk.clone();
    this.replaceLater(node, fault, 'goes back', ({ catalog }) =>
      // Who has joined since is not asked.
      catalog.members.length === copy.catalog.members.length ? copy : null,
    );
  }

  private salvage(node: SimNode, fault: FaultOf<'salvage'>): void {
    const copy = node.disk.clone();
    this.replaceLater(node, fault, 'is repaired', (disk) =>
      repaired(disk, copy, new Prng(fault.draws)).salvaged(this.cluster.drawActor()),
    );
  }

  /** The node crashes, and has another disk; null: it makes no sense any more. */
  private replaceLater(
    node: SimNode,
    { afterMs, downMs }: FaultOf<'rollback' | 'salvage'>,
    what: string,
    make: (disk: VirtualDisk) => VirtualDisk | null,
  ): void {
    const { cluster } = this;
    const { actor } = node.disk;
    let isOver = false;
    const once = (): void => {
      const { disk } = node;
      // Where the disk is another one by now, a copy is not of its past.
      const isSame = disk.actor === actor && node.running !== null;
      if (isOver || !isSame || this.isRecovering(node) || this.ledger.isLastHolder(disk)) return;
      // The crash changes nothing that is on the disk.
      const next = make(disk);
      if (next === null) return;
      this.crashFor(node, downMs, 0);
      cluster.replaceDisk(node, next);
      this.noteLoss(node, disk);
      this.note(`the disk of ${node.name} ${what}`);
    };
    this.ends.add(() => {
      isOver = true;
    });
    cluster.clock.after(afterMs, once);
  }

  private noteLoss(node: SimNode, lost: VirtualDisk): void {
    this.ledger.lose(lost);
    this.losses.note(node, lost);
    this.wiped.add(node);
  }

  private corrupt(node: SimNode, fault: FaultOf<'corrupt'>): boolean {
    const ring = node.running?.node.placements;
    if (ring === undefined || this.isRecovering(node)) return false;
    const { cluster } = this;
    const candidates = [...node.disk.objects].flatMap(([shard, rows]) => {
      const owners = ring.owners(shard);
      const others = cluster.nodes.filter((other) => other !== node && owners.includes(other.id));
      if (others.length === 0 || !owners.includes(node.id)) return [];
      return [...rows.values()]
        .filter(({ name, object }) =>
          others.every(({ disk }) => object.entries.every(({ dot }) => disk.holds(shard, name, dot))),
        )
        .map(({ name }) => ({ shard, name }));
    });
    const chosen = candidates[Math.floor(fault.pick * candidates.length)];
    if (chosen === undefined) return false;
    const { disk } = node;
    disk.damage(chosen.shard, chosen.name);
    this.ledger.lose(disk, chosen.name);
    // A process that stands still finds nothing.
    const isRunning = node.running?.held === null;
    if (fault.found === 'at-once' && isRunning) disk.scrub((shard, name) => cluster.reportLost(node, shard, name));
    return true;
  }

  /** True while another disk has lost something that is not back yet. */
  private isRecovering(except: SimNode): boolean {
    for (const node of this.wiped) {
      const stats = node.running?.node.replicationStats();
      // A ring of its own, or none that it knows of.
      const isAlone = (node.running?.node.ring.memberCount ?? 0) <= 1;
      const isBack = stats !== undefined && !isAlone && stats.shards.transferring === 0 && this.losses.isWhole(node);
      if (isBack) this.wiped.delete(node);
      else if (node !== except) return true;
    }
    return this.cluster.nodes.some((node) => node !== except && node.disk.hasDamage);
  }

  private otherVersion(node: SimNode, fault: FaultOf<'other-version'>): void {
    const before = { min: 1, max: 1 };
    node.versions = OTHER_VERSIONS;
    this.crashFor(node, fault.downMs, 0);
    this.hold(fault.downMs + fault.forMs, () => {
      node.versions = before;
      this.cluster.crash(node);
      this.cluster.clock.after(fault.downMs, () => this.cluster.start(node));
    });
  }

  private flap(fault: FaultOf<'flap'>): void {
    const { cluster } = this;
    const node = cluster.nodes[fault.node] as SimNode;
    const links = fault.peers.flatMap((peer) => this.between(node, cluster.nodes[peer] as SimNode));
    let unblock: (() => void) | null = this.blockAll(links);
    let ended = false;
    const toggle = (): void => {
      if (ended) return;
      if (unblock === null) {
        unblock = this.blockAll(links);
      } else {
        unblock();
        unblock = null;
      }
      cluster.clock.after(fault.periodMs / 2, toggle);
    };
    cluster.clock.after(fault.periodMs / 2, toggle);
    this.hold(fault.forMs, () => {
      ended = true;
      unblock?.();
    });
  }

  private linksOf(fault: FaultOf<'partition' | 'cut' | 'chain' | 'one-way'>): Link[] {
    const { nodes } = this.cluster;
    const at = (index: number): SimNode => nodes[index] as SimNode;
    switch (fault.type) {
      case 'partition':
        return fault.groups.flatMap((group, i) =>
          fault.groups
            .slice(i + 1)
            .flatMap((other) => group.flatMap((a) => other.flatMap((b) => this.between(at(a), at(b))))),
        );
      case 'cut':
        return fault.pairs.flatMap(([a, b]) => this.between(at(a), at(b)));
      case 'chain':
        return fault.row.flatMap((a, i) => fault.row.slice(i + 2).flatMap((b) => this.between(at(a), at(b))));
      case 'one-way':
        return fault.to.flatMap((to) => at(fault.from).links.get(at(to).id) ?? []);
    }
  }

  private between(a: SimNode, b: SimNode): Link[] {
    const link = a.links.get(b.id);
    return link === undefined ? [] : [link, link.back];
  }

  /** Returns what takes it back. */
  private blockAll(links: readonly Link[]): () => void {
    const { network } = this.cluster;
    for (const link of links) network.block(link);
    return () => {
      for (const link of links) network.unblock(link);
    };
  }

  private applyStorms(): void {
    for (const node of this.cluster.nodes) {
      for (const link of node.links.values()) {
        link.loss = 0;
        link.latencyMaxMs = 0;
        for (const { node: at, loss, latencyMaxMs } of this.storms) {
          if (at !== null && at !== link.from.index && at !== link.to.index) continue;
          link.loss = Math.max(link.loss, loss);
          link.latencyMaxMs = Math.max(link.latencyMaxMs, latencyMaxMs);
        }
      }
    }
  }

  /** Ends a fault after its time, or when all faults end. */
  private hold(forMs: number, end: () => void): void {
    const once = (): void => {
      if (this.ends.delete(once)) end();
    };
    this.ends.add(once);
    this.cluster.clock.after(forMs, once);
  }
}

function changeOf(fault: FaultOf<'ring-in' | 'ring-weight'>): RingChange {
  switch (fault.type) {
    case 'ring-in':
      return { place: 'in' };
    case 'ring-weight':
      return { weight: fault.weight };
  }
}
