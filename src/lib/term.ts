/** Terms that a message or a token may be ahead of all that are known: there have not been so many elections meanwhile. */
export const TERM_LEAD_MAX = 2 ** 20;
