import type { Stream } from '@libp2p/interface';

/** What of a yamux stream is used here. */
interface YamuxStream extends Stream {
  readonly state: number;
  readonly recvWindow: number;
  readonly recvWindowCapacity: number;
  sendWindowUpdate: () => void;
}

const ESTABLISHED = 3;

/**
 * Has a yamux stream grant its sender new window space only once half of the window is used up, as other
 * implementations do. The library does so after every message: a packet back for each packet, which costs about as
 * much as the message itself. Streams of any other shape are left as they are.
 */
export function delayWindowUpdates(stream: Stream): void {
  if (!isYamuxStream(stream)) return;
  const sendWindowUpdate = stream.sendWindowUpdate.bind(stream);
  stream.sendWindowUpdate = () => {
    if (stream.state !== ESTABLISHED || stream.recvWindowCapacity <= stream.recvWindow / 2) sendWindowUpdate();
  };
}

function isYamuxStream(stream: Stream): stream is YamuxStream {
  const { state, recvWindow, recvWindowCapacity, sendWindowUpdate } = stream as Partial<YamuxStream>;
  return [state, recvWindow, recvWindowCapacity].every(Number.isFinite) && typeof sendWindowUpdate === 'function';
}
