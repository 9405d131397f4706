const EVENT_CHARACTERS_MAX = 64 * 1024;

/** What the nodes tell of an event. */
export interface EventView {
  readonly type: string;
  readonly data: Readonly<Record<string, string | number | boolean>>;
}

/** The JSON data of Server-Sent Events (WHATWG HTML, section 9.2.6); the nodes send each in one line. */
export async function* readEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<EventView> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > EVENT_CHARACTERS_MAX) throw new Error('an event is too long');
    for (const line of lines) {
      if (!line.startsWith('data:')) continue;
      const event = JSON.parse(line.slice('data:'.length)) as Partial<EventView>;
      // A reset event has neither; the story has nothing to catch up on.
      if (event.type !== undefined && event.data !== undefined) yield { type: event.type, data: event.data };
    }
  }
}
