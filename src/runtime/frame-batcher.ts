import type { Log } from '../ports/log.ts';
import { LANES, type Lane, type Transport } from '../ports/transport.ts';
import type { NodeId } from '../protocol/machine.ts';
import type { PeerMessage } from '../protocol/node/message.ts';
import { FrameWriter, laneOf } from '../wire/message.ts';

/** A frame of this size leaves at once rather than at the end of the turn. */
const FRAME_TARGET_BYTES = 64 * 1024;

/** Gathers the messages of one turn into one frame a peer and lane. */
export class FrameBatcher {
  /** Messages dropped because no frame can hold them. */
  oversized = 0;
  /** What has been sent, by type of message; bytes as encoded, without framing and encryption. */
  readonly sent = new Map<PeerMessage['type'], { messages: number; bytes: number }>();
  private readonly transport: Transport;
  private readonly log: Log;
  private readonly open: Readonly<Record<Lane, Map<NodeId, FrameWriter>>> = {
    control: new Map(),
    data: new Map(),
    bulk: new Map(),
  };
  private readonly idle: FrameWriter[] = [];

  constructor(transport: Transport, log: Log) {
    this.transport = transport;
    this.log = log;
  }

  add(peer: NodeId, message: PeerMessage): void {
    const lane = laneOf(message);
    const open = this.open[lane];
    let writer = open.get(peer);
    if (writer === undefined) {
      writer = this.idle.pop() ?? new FrameWriter();
      open.set(peer, writer);
    }
    // Nothing that a client can write should be too large; a peer could not take it either.
    const before = writer.length;
    if (writer.add(message)) this.count(message.type, writer.length - before);
    else this.refuse(peer, message);
    if (writer.length >= FRAME_TARGET_BYTES || writer.isFull) this.transport.send(peer, lane, writer.take());
  }

  private refuse(peer: NodeId, message: PeerMessage): void {
    this.oversized++;
    const { type } = message;
    const bucket = 'bucket' in message ? message.bucket : undefined;
    this.log.error('a message was dropped: no frame can hold it', { type, peer, bucket });
  }

  private count(type: PeerMessage['type'], bytes: number): void {
    const sent = this.sent.get(type);
    if (sent === undefined) {
      this.sent.set(type, { messages: 1, bytes });
    } else {
      sent.messages++;
      sent.bytes += bytes;
    }
  }

  /** Sends everything gathered. A frame that the transport drops is lost, as on any network. */
  flush(): void {
    for (const lane of LANES) {
      const open = this.open[lane];
      if (open.size === 0) continue;
      for (const [peer, writer] of open) {
        if (writer.length > 0) this.transport.send(peer, lane, writer.take());
        this.idle.push(writer);
      }
      open.clear();
    }
  }
}
