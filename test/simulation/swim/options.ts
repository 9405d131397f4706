/**
 * Plain SWIM as a baseline: the protocol of Das, Gupta and Motivala (DSN 2002) in the form of HashiCorp's
 * memberlist, with the values of its `DefaultLANConfig` (config.go), and without Lifeguard: what Dadgar, Phillips
 * and Currey (2018) call SWIM in their evaluation. Milliseconds.
 */
export const SWIM = {
  /** ProbeInterval: one probe at a time, in a shuffled round-robin (SWIM section 4.3). */
  probeIntervalMs: 1000,
  /** ProbeTimeout: then relays are asked; the probe ends with its interval. A relay waits as long. */
  probeTimeoutMs: 500,
  /** IndirectChecks: k of SWIM; no nacks, which are Lifeguard's. */
  relays: 3,
  /** SuspicionMult: a suspicion lasts this times max(1, log10 N) intervals, whoever else accuses (util.go). */
  suspicionMultiplier: 5,
  /** RetransmitMult: lambda of SWIM; each update is sent this times ceil(log10(N + 1)) times (util.go). */
  retransmitMultiplier: 4,
  /** GossipInterval and GossipNodes: memberlist's gossip beside the piggyback. */
  gossipIntervalMs: 200,
  gossipNodes: 3,
  /** GossipToTheDeadTime: the dead hear of it, and can refute. */
  gossipToTheDeadMs: 30_000,
  /** PushPullInterval, times ceil(log2 N - log2 32) + 1 above 32 members (util.go, pushPullScale). */
  pushPullIntervalMs: 30_000,
  pushPullScaleThreshold: 32,
  /** About what fits into a packet of 1,400 bytes (UDPBufferSize), at 70 bytes an accusation. */
  updatesPerPacket: 20,
} as const;

/** suspicionTimeout of util.go, in milliseconds, for a cluster of `size`. */
export function suspicionMs(size: number): number {
  return SWIM.suspicionMultiplier * Math.max(1, Math.log10(Math.max(1, size))) * SWIM.probeIntervalMs;
}

/** retransmitLimit of util.go. */
export function retransmitLimit(size: number): number {
  return SWIM.retransmitMultiplier * Math.ceil(Math.log10(size + 1));
}

/** pushPullScale of util.go, in milliseconds. */
export function pushPullMs(size: number): number {
  const threshold = SWIM.pushPullScaleThreshold;
  if (size <= threshold) return SWIM.pushPullIntervalMs;
  return (Math.ceil(Math.log2(size) - Math.log2(threshold)) + 1) * SWIM.pushPullIntervalMs;
}
