/** The longest line accepted from a node: a value of 1 MiB in base64 with its key and the rest. */
export const LINE_CHARACTERS_MAX = 4 * 1024 * 1024;

/** Lines of a UTF-8 byte stream, without their ends (LF, CR LF, or CR as event streams allow). */
export async function* readLines(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  let searched = 0;
  for await (const chunk of body) {
    rest += decoder.decode(chunk, { stream: true });
    let start = 0;
    for (;;) {
      const end = indexOfEnd(rest, Math.max(start, searched));
      // A CR at the very end may be half of a CR LF.
      if (end < 0 || (rest[end] === '\r' && end === rest.length - 1)) break;
      yield rest.slice(start, end);
      start = rest[end] === '\r' && rest[end + 1] === '\n' ? end + 2 : end + 1;
      searched = start;
    }
    rest = rest.slice(start);
    searched = Math.max(0, rest.length - 1);
    if (rest.length > LINE_CHARACTERS_MAX) throw new Error(`a line is longer than ${LINE_CHARACTERS_MAX} characters`);
  }
  rest += decoder.decode();
  if (rest !== '') yield rest.replace(/\r$/, '');
}

function indexOfEnd(text: string, from: number): number {
  const lf = text.indexOf('\n', from);
  const cr = text.indexOf('\r', from);
  return lf < 0 ? cr : cr < 0 ? lf : Math.min(lf, cr);
}
