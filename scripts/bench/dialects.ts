import type { Dialect, Received } from './load.ts';

const INCOMPLETE: Received = { length: 0, kind: 'aside' };
const LF = 0x0a;
const DOLLAR = 0x24;
const MINUS = 0x2d;

/** HTTP/1.1 as servers answer small requests on a connection that stays open. */
export const HTTP: Dialect = {
  receive: (bytes) => {
    const end = bytes.indexOf('\r\n\r\n');
    if (end < 0) return INCOMPLETE;
    const head = bytes.toString('latin1', 0, end);
    const kind = head.startsWith('HTTP/1.1 2') ? 'done' : 'failed';
    const stated = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
    let length = end + 4;
    if (stated !== undefined) length += Number(stated);
    else if (/\r\ntransfer-encoding: *chunked/i.test(head)) {
      const last = bytes.indexOf('0\r\n\r\n', length);
      if (last < 0) return INCOMPLETE;
      length = last + 5;
    }
    return bytes.length < length ? INCOMPLETE : { length, kind };
  },
};

/** The Redis protocol, version 2: simple strings, errors and bulk strings. */
export const RESP: Dialect = {
  receive: (bytes) => {
    const end = bytes.indexOf(LF) + 1;
    if (end === 0) return INCOMPLETE;
    const type = bytes[0];
    if (type === MINUS) return { length: end, kind: 'failed' };
    if (type !== DOLLAR) return { length: end, kind: 'done' };
    const size = Number(bytes.toString('latin1', 1, end - 2));
    if (size < 0) return { length: end, kind: 'failed' };
    const length = end + size + 2;
    return bytes.length < length ? INCOMPLETE : { length, kind: 'done' };
  },
};

const NATS_OPTIONS = JSON.stringify({ verbose: false, pedantic: false, headers: true, no_responders: true });

/** The subject at which a connection awaits answers. */
export function natsInbox(connection: number): string {
  return `_INBOX.bench.${process.pid}.${connection}`;
}

/** The NATS text protocol as far as requests and their answers need it. */
export const NATS: Dialect = {
  greeting: (connection) => `CONNECT ${NATS_OPTIONS}\r\nSUB ${natsInbox(connection)} 1\r\nPING\r\n`,
  receive: (bytes) => {
    const end = bytes.indexOf(LF) + 1;
    if (end === 0) return INCOMPLETE;
    const line = bytes.toString('latin1', 0, end - 2);
    if (line === 'PONG') return { length: end, kind: 'done' };
    if (line === 'PING') return { length: end, kind: 'aside', answer: 'PONG\r\n' };
    const hasHeaders = line.startsWith('HMSG ');
    if (!hasHeaders && !line.startsWith('MSG ')) {
      return { length: end, kind: line.startsWith('-ERR') ? 'failed' : 'aside' };
    }
    const length = end + Number(line.slice(line.lastIndexOf(' ') + 1)) + 2;
    if (bytes.length < length) return INCOMPLETE;
    const start = bytes.toString('latin1', end, Math.min(length, end + 96));
    // A header with a status line says why there is no answer; a JSON answer has a member `error`.
    const failed = hasHeaders ? /^NATS\/1\.0 [345]/.test(start) : start.includes('"error":');
    return { length, kind: failed ? 'failed' : 'done' };
  },
};
