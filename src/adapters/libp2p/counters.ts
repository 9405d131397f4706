/**
 * Counters of a transport since it was created. Names that end in `_total` only grow; `peers_connected`,
 * `connections_open` (of admitted peers) and `lane_queue_bytes_<lane>` are current values.
 *
 * - `connections_total`: connections that completed the Noise handshake, either direction.
 * - `inbound_handshakes_failed_total`: inbound TCP connections that did not (garbage, scans, timeouts).
 * - `inbound_denied_total`: inbound connections refused before admission (banned, backing off, too many pending).
 * - `admissions_accepted_total`, `admissions_refused_total_<code>`: outcomes of the admission handshake, whichever
 *   side refused; `<code>` is a refusal code with `_` for `-`.
 * - `streams_refused_total`: protocol streams opened by peers that were not admitted.
 * - `dials_total`, `dial_failures_total_<reason>`: attempts to reach a peer or seed and how they failed.
 * - `frames_sent_total_<lane>`, `frames_received_total_<lane>`, `bytes_sent_total_<lane>`,
 *   `bytes_received_total_<lane>`: frames handed to and taken from streams; bytes include the length prefix.
 * - `frames_dropped_total_<lane>`: `send` answered false.
 * - `lane_resets_total`: inbound lane streams reset for a broken frame; `stalls_total`: connections dropped because
 *   queued frames made no progress; `links_evicted_total`: idle peers that gave way to others.
 * - `duplicate_connections_total`: second connections between the same two peers.
 * - `misbehaviour_total`, `bans_total`: reports against peers and what came of them.
 * - `discoveries_total`: peers found by mDNS, repeats excluded.
 * - `publications_sent_total`, `publications_received_total`: application pub/sub.
 */
export class Counters {
  private readonly values = new Map<string, number>();

  add(name: string, amount = 1): void {
    const key = name.replaceAll('-', '_');
    this.values.set(key, (this.values.get(key) ?? 0) + amount);
  }

  read(): Record<string, number> {
    return Object.fromEntries(this.values);
  }
}
