/** What a zone may be called, wherever it is named. */
export const ZONE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** Where no zone at all can be said too. */
export const ZONE_NAME_OR_NONE = new RegExp(`^$|${ZONE_NAME.source}`);

/** Completes "use …". */
export const ZONE_NAME_EXPECTED =
  '1 to 64 letters, digits, dots, dashes or underscores, beginning with a letter or digit';
