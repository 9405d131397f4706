/** Thrown when the program itself is wrong; never for bad input. Assertions stay on in production. */
class AssertionError extends Error {
  override readonly name = 'AssertionError';
}

/** Stops the program's current turn when `condition` does not hold. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** For the default branch of an exhaustive switch: fails to compile when a case is missing. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${JSON.stringify(value)}`);
}
