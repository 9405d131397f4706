import type { Lane, TransportHandler } from '../../src/ports/transport.ts';
import type { NodeId } from '../../src/protocol/machine.ts';

/** Keeps everything a transport reports, in order. */
export class RecordingHandler implements TransportHandler {
  readonly connected: { peer: NodeId; addresses: readonly string[] }[] = [];
  readonly disconnected: NodeId[] = [];
  readonly dialFailures: { peer: NodeId; reason: string }[] = [];
  readonly frames: { peer: NodeId; lane: Lane; frame: Uint8Array }[] = [];
  readonly publications: { topic: string; from: NodeId; text: string }[] = [];

  handleConnected(peer: NodeId, addresses: readonly string[]): void {
    this.connected.push({ peer, addresses });
  }

  handleDisconnected(peer: NodeId): void {
    this.disconnected.push(peer);
  }

  handleDialFailed(peer: NodeId, reason: 'refused' | 'timeout' | 'unreachable' | 'denied'): void {
    this.dialFailures.push({ peer, reason });
  }

  handleFrame(peer: NodeId, lane: Lane, frame: Uint8Array): void {
    this.frames.push({ peer, lane, frame });
  }

  handlePublication(topic: string, from: NodeId, data: Uint8Array): void {
    this.publications.push({ topic, from, text: new TextDecoder().decode(data) });
  }

  framesOf(lane: Lane): Uint8Array[] {
    return this.frames.filter((entry) => entry.lane === lane).map((entry) => entry.frame);
  }
}
