const TEXT_LENGTH_MAX = 64;

/** Edit distance with adjacent transpositions (optimal string alignment), in single-character edits. */
function distance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (last[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let edits = Math.min(replaced, (last[j] as number) + 1, (row[j - 1] as number) + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        edits = Math.min(edits, (beforeLast[j - 2] as number) + 1);
      }
      row.push(edits);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length] as number;
}

/** The candidate that `text` most likely meant, or undefined when none is near. Case, `-` and `_` do not count. */
export function suggest(text: string, candidates: readonly string[]): string | undefined {
  if (text.length > TEXT_LENGTH_MAX) return undefined;
  const normal = (word: string): string => word.toLowerCase().replace(/[-_]/g, '');
  let best: string | undefined;
  let bestEdits = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const edits = distance(normal(text), normal(candidate));
    const allowed = Math.max(1, Math.floor(candidate.length / 4));
    if (edits <= allowed && edits < bestEdits) {
      best = candidate;
      bestEdits = edits;
    }
  }
  return best;
}
