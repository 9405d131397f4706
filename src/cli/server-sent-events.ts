import { LINE_CHARACTERS_MAX, readLines } from './line-reader.ts';

export interface ServerSentEvent {
  /** `message` when the stream names none. */
  readonly type: string;
  readonly data: string;
}

/** Where a stream stands; kept up to date while it is read. */
export interface StreamPosition {
  /** What `Last-Event-ID` resumes from; '' before the first. */
  id: string;
  /** The wait before reconnecting that the server asked for last. */
  retryMs: number | null;
}

/** Events of a `text/event-stream` body (WHATWG HTML, section 9.2.6). An event cut off at the end is dropped. */
export async function* readServerSentEvents(
  body: AsyncIterable<Uint8Array>,
  position: StreamPosition,
): AsyncGenerator<ServerSentEvent> {
  let type = '';
  let data: string[] = [];
  let characters = 0;
  let { id } = position;
  for await (const line of readLines(body)) {
    if (line === '') {
      // An id without data is a position too.
      position.id = id;
      if (data.length > 0) yield { type: type || 'message', data: data.join('\n') };
      type = '';
      data = [];
      characters = 0;
      continue;
    }
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') type = value;
    else if (field === 'id' && !value.includes('\0')) id = value;
    else if (field === 'retry' && /^\d{1,9}$/.test(value)) position.retryMs = Number(value);
    else if (field === 'data') {
      characters += value.length;
      if (characters > LINE_CHARACTERS_MAX) throw new Error(`an event has more than ${LINE_CHARACTERS_MAX} characters`);
      data.push(value);
    }
  }
}
