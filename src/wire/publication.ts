import { CHANNEL_BYTES_MAX, type Publication } from '../ports/pub-sub.ts';
import { VALUE_BYTES_MAX } from '../protocol/causal/entry.ts';
import { bytes, type Codec, Reader, record, Writer } from './codec.ts';

const publication: Codec<Publication> = record<Publication>({
  channel: bytes(CHANNEL_BYTES_MAX),
  message: bytes(VALUE_BYTES_MAX),
});

/** The data of a gossiped message. */
export function encodePublication(value: Publication): Uint8Array {
  const writer = new Writer(value.channel.length + value.message.length + 16);
  publication.encode(writer, value);
  return writer.take();
}

/** Throws `DecodeError`. */
export function decodePublication(data: Uint8Array): Publication {
  return publication.decode(new Reader(data));
}
