import type { MembershipMessage } from '../../src/protocol/membership/message.ts';
import { FrameWriter } from '../../src/wire/message.ts';

/**
 * Bytes on the wire beyond the encoded messages, as IP packets, both directions counted for the one who sends.
 * Measured with two libp2p transports of src/adapters/libp2p in a network namespace of their own, from the byte
 * and packet counters of its loopback device.
 */
export const LINK_BYTES = {
  /**
   * Of one frame: 4 frame header, 12 yamux, 2 + 16 Noise, and two packets of 52 bytes of TCP and IP headers (one
   * segment, and an acknowledgement unless an answer carries it).
   */
  frame: 34 + 2 * 52,
  /**
   * Of one established connection, over both ends: TCP, Noise XX, yamux, identify, admission, and the opening of the
   * control lane and of gossipsub. 6,924 bytes with one frame of 20 bytes each way, which are taken off here.
   */
  handshake: 6_924 - 2 * (20 + 34 + 2 * 52),
  /** Of a dial that nothing answers: the SYN and its two repetitions within the dial timeout. */
  dialTimeout: 3 * 60,
  /** Of a refused dial: SYN and RST. */
  dialRefused: 60 + 40,
  /** Of closing a connection, over both ends. */
  close: 610,
} as const;

/** Bytes that a writer may gather before it is emptied. */
const GATHERED_BYTES_MAX = 64 * 1024;
const writer = new FrameWriter();

/** Encoded size of a message in a frame, its length prefix included. */
export function messageBytes(message: MembershipMessage): number {
  if (writer.length > GATHERED_BYTES_MAX) writer.take();
  const before = writer.length;
  writer.add(message);
  return writer.length - before;
}
