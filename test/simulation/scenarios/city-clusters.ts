import type { NodeId } from '../../../src/protocol/machine.ts';
import type { MemberState } from '../../../src/protocol/membership/member.ts';
import { MembershipNetwork } from '../../support/membership-network.ts';

/** How many of everything; see city.ts for the plan of issue 3. */
export interface CityPlan {
  readonly districts: number;
  /** Each with one aggregation server. */
  readonly neighbourhoods: number;
  readonly cameras: number;
  readonly sensors: number;
}

export type Layer = 'street' | 'aggregation' | 'district';

interface Cluster {
  readonly network: MembershipNetwork;
  readonly ids: readonly NodeId[];
}

/** A node that is a member of two clusters, with one core in each. */
interface Bridge {
  readonly lower: Cluster;
  readonly upper: Cluster;
  /** What it says of the lower cluster, and since when. */
  said: string;
  saidMs: number;
}

/** What one district centre knows of the whole city. */
export interface CityView {
  readonly alive: number;
  readonly total: number;
  /** Neighbourhoods whose aggregation server is not alive. */
  readonly dark: number;
  /** Districts whose centre is not alive. */
  readonly lost: number;
}

/** The clusters run side by side in steps of so much. */
const STEP_MS = 50;
/** A bridge looks at its lower cluster so often, and says something new at most so often. */
const SUMMARY_MS = 1000;
const ANNOUNCE_MS = 2000;

/**
 * A city in three layers: neighbourhoods (cameras, sensors, their aggregation server), districts (the aggregation
 * servers and the district's centre) and the city (the centres). Every cluster runs its own membership; a bridge
 * carries a summary of its lower cluster upward as labels of its own profile in the upper one.
 */
export class CityClusters {
  nowMs = 0;
  /** Deaths believed of nodes that were neither killed nor cut off. */
  falseDeaths = 0;
  /** Members of the city's cluster that a cut makes unreachable for each other: their deaths are right. */
  isBackboneCut = false;
  readonly layers: Readonly<Record<Layer, NodeId[]>> = { street: [], aggregation: [], district: [] };
  private readonly clusters: Cluster[] = [];
  private readonly city: Cluster;
  private readonly homes = new Map<NodeId, Cluster[]>();
  private readonly bridges = new Map<NodeId, Bridge>();
  private readonly down = new Set<NodeId>();

  constructor({ districts, neighbourhoods, cameras, sensors }: CityPlan, seed: number) {
    const centres = Array.from({ length: districts }, (_, d) => `centre-${d}`);
    this.city = this.addCluster(centres, seed);
    this.layers.district.push(...centres);
    centres.forEach((centre, d) => {
      const servers = Array.from({ length: neighbourhoods }, (_, n) => `server-${d}-${n}`);
      this.layers.aggregation.push(...servers);
      const district = this.addCluster([centre, ...servers], seed + 1 + d);
      this.addBridge(centre, district, this.city);
      servers.forEach((server, n) => {
        const devices = [...names('camera', cameras, d, n), ...names('sensor', sensors, d, n)];
        this.layers.street.push(...devices);
        const street = this.addCluster([server, ...devices], seed + 1000 + d * neighbourhoods + n);
        this.addBridge(server, street, district);
      });
    });
    for (const cluster of this.clusters)
      for (const id of cluster.ids) cluster.network.start(id, cluster.ids.slice(0, 1));
  }

  get size(): number {
    return this.homes.size;
  }

  run(forMs: number): void {
    const endMs = this.nowMs + forMs;
    while (this.nowMs < endMs) {
      this.nowMs += STEP_MS;
      for (const { network } of this.clusters) network.run(STEP_MS);
      if (this.nowMs % SUMMARY_MS === 0) for (const [id, bridge] of this.bridges) this.summarise(id, bridge);
    }
  }

  /** Runs until `condition` holds; returns how long that took, or Infinity. */
  runUntil(condition: () => boolean, withinMs: number): number {
    const startMs = this.nowMs;
    while (!condition()) {
      if (this.nowMs - startMs >= withinMs) return Number.POSITIVE_INFINITY;
      this.run(STEP_MS);
    }
    return this.nowMs - startMs;
  }

  kill(id: NodeId): void {
    this.down.add(id);
    for (const { network } of this.homesOf(id)) network.kill(id);
  }

  /** Starts a node again, with its address books. */
  restart(id: NodeId): void {
    this.down.delete(id);
    const bridge = this.bridges.get(id);
    if (bridge !== undefined) bridge.said = '';
    for (const { network, ids } of this.homesOf(id)) network.start(id, ids);
  }

  /** No centre reaches another one. */
  cutBackbone(): void {
    this.isBackboneCut = true;
    this.city.network.cut(() => true);
  }

  healBackbone(): void {
    this.city.network.heal();
  }

  /** The neighbourhood of an aggregation server, or the district of a centre: all members, itself first. */
  membersBelow(id: NodeId): readonly NodeId[] {
    return this.bridge(id).lower.ids;
  }

  /** True when all running members of the cluster below `bridge` see `ids` as dead, and nobody else. */
  isLostBelow(bridge: NodeId, lost: readonly NodeId[]): boolean {
    const { network } = this.bridge(bridge).lower;
    return network.isConverged() && network.allSee(network.running(), lost, 'dead');
  }

  /** True when all running members of the cluster above `bridge` see it as dead. */
  isDeadAbove(id: NodeId): boolean {
    const { network } = this.bridge(id).upper;
    return network.allSee(network.running(), [id], 'dead');
  }

  isSettled(): boolean {
    return this.clusters.every(({ network }) => network.isConverged());
  }

  /** What the first running centre knows. */
  view(): CityView {
    const { network } = this.city;
    const [observer] = network.running();
    const sums = { alive: 0, total: 0, dark: 0, lost: 0 };
    if (observer === undefined) return sums;
    for (const { state, profile } of network.core(observer).members()) {
      if (isUp(state)) sums.alive += numberIn(profile.labels, 'alive');
      else sums.lost += 1;
      sums.total += numberIn(profile.labels, 'total');
      sums.dark += numberIn(profile.labels, 'dark');
    }
    return sums;
  }

  resetTraffic(): void {
    for (const { network } of this.clusters) network.resetTraffic();
  }

  /** Bytes that the nodes of a layer have sent on average since then, in all their clusters. */
  meanBytes(layer: Layer): number {
    const ids = this.layers[layer];
    let bytes = 0;
    for (const id of ids) for (const { network } of this.homesOf(id)) bytes += network.traffic(id).bytes;
    return bytes / ids.length;
  }

  private summarise(id: NodeId, bridge: Bridge): void {
    if (this.down.has(id) || this.nowMs - bridge.saidMs < ANNOUNCE_MS) return;
    const labels = bridge.upper === this.city ? districtSummary(id, bridge) : neighbourhoodSummary(id, bridge);
    const said = JSON.stringify(labels);
    if (said === bridge.said) return;
    bridge.said = said;
    bridge.saidMs = this.nowMs;
    bridge.upper.network.input(id, { type: 'update-profile', patch: { labels } });
  }

  private addCluster(ids: readonly NodeId[], seed: number): Cluster {
    const network = new MembershipNetwork({ seed });
    const cluster = { network, ids };
    network.onChange = ({ id, node, state }) => {
      const isRight = this.down.has(id) || this.down.has(node) || (this.isBackboneCut && cluster === this.city);
      if (state === 'dead' && !isRight) this.falseDeaths += 1;
      return false;
    };
    for (const id of ids) this.homes.set(id, [...(this.homes.get(id) ?? []), cluster]);
    this.clusters.push(cluster);
    return cluster;
  }

  private addBridge(id: NodeId, lower: Cluster, upper: Cluster): void {
    this.bridges.set(id, { lower, upper, said: '', saidMs: Number.NEGATIVE_INFINITY });
  }

  private bridge(id: NodeId): Bridge {
    const bridge = this.bridges.get(id);
    if (bridge === undefined) throw new Error(`${id} is in one cluster only`);
    return bridge;
  }

  private homesOf(id: NodeId): readonly Cluster[] {
    return this.homes.get(id) ?? [];
  }
}

/** A suspicion is not news for the layers above. */
function isUp(state: MemberState): boolean {
  return state === 'alive' || state === 'suspect';
}

function neighbourhoodSummary(id: NodeId, { lower }: Bridge): Record<string, string> {
  const members = lower.network.core(id).members();
  return { alive: String(members.filter(({ state }) => isUp(state)).length), total: String(members.length) };
}

/** Of a neighbourhood whose server is gone only the size is known. */
function districtSummary(id: NodeId, { lower }: Bridge): Record<string, string> {
  const sums = { alive: 0, total: 0, dark: 0 };
  for (const { id: server, state, profile } of lower.network.core(id).members()) {
    if (server === id) continue;
    if (isUp(state)) sums.alive += numberIn(profile.labels, 'alive');
    else sums.dark += 1;
    sums.total += numberIn(profile.labels, 'total');
  }
  return { alive: String(sums.alive), total: String(sums.total), dark: String(sums.dark) };
}

function names(kind: string, count: number, district: number, neighbourhood: number): NodeId[] {
  return Array.from({ length: count }, (_, i) => `${kind}-${district}-${neighbourhood}-${i}`);
}

function numberIn(labels: Readonly<Record<string, string>>, key: string): number {
  return Number(labels[key] ?? 0);
}
