import { type Ballot, ballotText, type Dot, dotText } from '../../ports/node-handle.ts';

/** Of a value in an eventual bucket. */
export function dotTag(dot: Dot): string {
  return `"${dotText(dot)}"`;
}

/** Of a value in a strong bucket. */
export function ballotTag(version: Ballot): string {
  return `"${ballotText(version)}"`;
}

/** Whether an `If-None-Match` of a read names this ETag, by weak comparison (RFC 9110, 8.8.3.2). */
export function isListed(etag: string, list: string): boolean {
  if (list === etag || list === '*') return true;
  return list.split(',').some((item) => item.trim().replace(/^W\//, '') === etag);
}
