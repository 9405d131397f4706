/**
 * Runs up to `width` tasks of a source at a time and yields their results in the order of the source. Results
 * that are ready are not held back while the source waits for more. `run` must not reject; when the source
 * throws, the results so far are yielded first.
 */
export async function* inOrder<T, R>(
  source: AsyncIterable<T>,
  width: number,
  run: (item: T) => Promise<R>,
): AsyncGenerator<R> {
  const items = source[Symbol.asyncIterator]();
  const running: Promise<{ result: R }>[] = [];
  type Read = { next: IteratorResult<T> } | { error: unknown };
  const read = (): Promise<Read> =>
    items.next().then(
      (next) => ({ next }),
      (error: unknown) => ({ error }),
    );
  let reading: Promise<Read> | null = read();
  let fault: { error: unknown } | null = null;
  try {
    while (reading !== null || running.length > 0) {
      const [head] = running;
      const canRead = reading !== null && running.length < width;
      const outcome: Read | { result: R } = await (canRead && head !== undefined
        ? Promise.race([reading as Promise<Read>, head])
        : ((canRead ? reading : head) as Promise<Read | { result: R }>));
      if ('result' in outcome) {
        void running.shift();
        yield outcome.result;
      } else if ('error' in outcome) {
        fault = outcome;
        reading = null;
      } else if (outcome.next.done === true) {
        reading = null;
      } else {
        running.push(run(outcome.next.value).then((result) => ({ result })));
        reading = read();
      }
    }
  } finally {
    await items.return?.();
  }
  if (fault !== null) throw fault.error;
}
