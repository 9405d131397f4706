import type { SiteBucket } from './message.ts';

/** What a site exchanges with its hub, as the hub knows, and did not name. No bucket is ever taken away: the site has lost it. */
export function unnamedBuckets(told: readonly SiteBucket[], known: Iterable<SiteBucket>): readonly SiteBucket[] {
  const names = new Set(told.map(({ name }) => name));
  return [...known].filter(({ name, sync }) => sync !== 'none' && !names.has(name));
}
