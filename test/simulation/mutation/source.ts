import type { Mutation } from './mutation.ts';

/** The source text with the bug in it; throws where the text to replace is not there exactly once. */
export function mutated(source: string, { name, file, find, replace }: Mutation): string {
  const found = source.split(find).length - 1;
  if (found !== 1) throw new Error(`mutation "${name}": its text occurs ${found} times in src/${file}, not once`);
  // A function, because a text could hold replacement patterns.
  return source.replace(find, () => replace);
}
