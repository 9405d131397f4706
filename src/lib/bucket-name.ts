/**
 * The names under which nodes keep and exchange the keys of a bucket: its own, and of a bucket with a placement of its
 * own also the number of that placement's class, `readings~3f0k1z`. Where a key belongs thus follows from the name
 * alone: two nodes never disagree about it, whatever each knows of the buckets, and buckets of one name that were created
 * with different placements on two sides of a partition stay apart.
 */
const MARK = '~';
const RADIX = 36;

/** `placementClass`: below 2^32; 0 is the placement of all buckets that ask for none. */
export function qualifiedName(name: string, placementClass: number): string {
  return placementClass === 0 ? name : `${name}${MARK}${placementClass.toString(RADIX)}`;
}

/** Without the class. */
export function plainName(qualified: string): string {
  const at = qualified.indexOf(MARK);
  return at < 0 ? qualified : qualified.slice(0, at);
}

/** The class of a qualified name. */
export function classOf(qualified: string): number {
  const at = qualified.indexOf(MARK);
  return at < 0 ? 0 : Number.parseInt(qualified.slice(at + 1), RADIX);
}

/** The name that people know. */
export function shownName(qualified: string): string {
  const at = qualified.indexOf(MARK);
  return at < 0 ? qualified : qualified.slice(0, at);
}
