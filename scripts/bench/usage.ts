/** The command line of a bench is wrong; the message says how. */
export class BenchUsageError extends Error {
  override readonly name = 'BenchUsageError';
}

/** The number given to an option, refused outside of its bounds. */
export function numberOption(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= min && value <= max)) {
    throw new BenchUsageError(`--${name} takes a number from ${min} to ${max}`);
  }
  return value;
}
