/** What a site may be called, wherever it is named. */
export const SITE_NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;

/** Completes "use …". */
export const SITE_NAME_EXPECTED =
  '1 to 63 lower-case letters, digits, dots, dashes or underscores, beginning with a letter or digit';
