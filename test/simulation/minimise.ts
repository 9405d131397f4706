/**
 * The smallest part of `items` that still fails, by Zeller's ddmin (Zeller, Hildebrandt, "Simplifying and Isolating
 * Failure-Inducing Input", 2002): halves, then quarters and so on, each alone and each left out. `fails` is asked about
 * parts in their original order; once `isOver` says so, the best part so far is the answer.
 */
export function ddmin<T>(
  items: readonly T[],
  fails: (part: readonly T[]) => boolean,
  isOver: () => boolean = () => false,
): readonly T[] {
  let best = items;
  for (let parts = 2; best.length > 0 && !isOver(); ) {
    const smaller = step(best, Math.min(parts, best.length), fails, isOver);
    if (smaller !== null) {
      best = smaller.items;
      parts = Math.max(2, smaller.isComplement ? parts - 1 : 2);
    } else if (parts >= best.length) {
      break;
    } else {
      parts *= 2;
    }
  }
  return best;
}

function step<T>(
  items: readonly T[],
  parts: number,
  fails: (part: readonly T[]) => boolean,
  isOver: () => boolean,
): { readonly items: readonly T[]; readonly isComplement: boolean } | null {
  const bounds = Array.from({ length: parts + 1 }, (_, index) => Math.round((index * items.length) / parts));
  for (const isComplement of [false, true]) {
    // With two parts the complement of one is the other; with one part it is nothing at all, which is worth a try.
    if (isComplement && parts === 2) continue;
    for (let index = 0; index < parts && !isOver(); index++) {
      const [from, to] = [bounds[index] as number, bounds[index + 1] as number];
      const part = isComplement ? [...items.slice(0, from), ...items.slice(to)] : items.slice(from, to);
      if (part.length < items.length && fails(part)) return { items: part, isComplement };
    }
  }
  return null;
}
