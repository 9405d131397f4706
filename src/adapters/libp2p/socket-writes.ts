import type { MultiaddrConnection } from '@libp2p/interface';

/** More than this is written piece by piece: copying it would cost more than a packet. */
const MERGED_BYTES_MAX = 16 * 1024;

/** Some pieces of memory that are sent one after the other. */
interface Pieces extends Iterable<Uint8Array> {
  readonly byteLength: number;
  subarray(): Uint8Array;
}

/** What of libp2p's TCP connection is used here. */
interface SocketConnection {
  sendData: (data: Pieces) => unknown;
}

/**
 * Has a TCP connection write a message in one piece. Noise sends a length and the ciphertext, and the library writes
 * each on its own: two segments for each small message, which the peer acknowledges one by one. A small frame
 * cost 190 bytes beyond its own on the wire, and costs 138 this way. Connections of any other shape are left as they are.
 */
export function mergeWrites(connection: MultiaddrConnection): void {
  if (!isSocketConnection(connection)) return;
  const sendData = connection.sendData.bind(connection);
  connection.sendData = (data) => sendData(data.byteLength <= MERGED_BYTES_MAX ? onePiece(data) : data);
}

function onePiece(data: Pieces): Pieces {
  const piece = data.subarray();
  return { byteLength: piece.byteLength, subarray: () => piece, [Symbol.iterator]: () => [piece].values() };
}

function isSocketConnection(connection: object): connection is SocketConnection {
  return typeof (connection as Partial<SocketConnection>).sendData === 'function';
}
