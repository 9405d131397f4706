/** What a site may be called, wherever it is named. */
export const SITE_NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;

/** Completes "use …". */
export const SITE_NAME_EXPECTED =
  '1 to 63 lower-case letters, digits, dots, dashes or underscores, beginning with a letter or digit';

const MARK = ':';
/** Hubs above each other, the site included. */
const LEVELS_MAX = 4;

/**
 * The name of a site at a hub, where that may be the hub of another hub: sites of a site are named after both,
 * `district-7:berlin`. No operator gives such a name.
 */
export function isSitePath(name: string): boolean {
  const parts = name.split(MARK);
  return parts.length <= LEVELS_MAX && parts.every((part) => SITE_NAME.test(part));
}

/** What a hub's site is called at the hub above, where the hub itself is the site `hub`. */
export function sitePathOf(hub: string, site: string): string {
  return `${hub}${MARK}${site}`;
}

/** The site that has a token: the path itself, where it is a plain name. */
export function siteWithToken(path: string): string {
  const at = path.indexOf(MARK);
  return at < 0 ? path : path.slice(0, at);
}

/** Whether the first is a site of the second, or of one of its sites. */
export function isBelow(path: string, site: string): boolean {
  return path.startsWith(`${site}${MARK}`);
}
