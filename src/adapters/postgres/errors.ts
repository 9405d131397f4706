import { HubStoreError, type HubStoreErrorCode } from '../../ports/hub-store.ts';

/** Another transaction was in the way: this one was undone, and may run again. */
export class ConflictError extends Error {
  override readonly name: string = 'ConflictError';
}

/** Two transactions could wait for each other: this one is to take these locks at its start, in ascending order. */
export class LockOrderError extends ConflictError {
  override readonly name = 'LockOrderError';
  readonly shards: ReadonlySet<number>;

  constructor(shards: ReadonlySet<number>) {
    super('a lower lock is wanted than one that is held');
    this.shards = shards;
  }
}

/** Serialization failure, deadlock, and a site that was removed meanwhile. */
const CONFLICTS: readonly string[] = ['40001', '40P01', '23503'];

interface Cause {
  readonly code: HubStoreErrorCode;
  readonly fix: string;
}

const AWAY: Cause = {
  code: 'unavailable',
  fix: 'Check that it runs and that this machine reaches it.',
};
const SLOW: Cause = {
  code: 'unavailable',
  fix: 'Check its load, and for sessions that hold locks.',
};
const SCHEMA: Cause = {
  code: 'unreadable',
  fix: 'Its tables are not those of this version: restore them, or give the hub a database of its own.',
};

/** By SQLSTATE, or its class. */
const CAUSES: Readonly<Record<string, Cause>> = {
  '08': AWAY,
  '57': AWAY,
  '25006': { code: 'unavailable', fix: 'It is a standby, or read-only: name the primary in the URL.' },
  '28': { code: 'io', fix: 'Check user and password in the URL, and pg_hba.conf of the server.' },
  '3D000': { code: 'io', fix: 'Create the database, or name another one in the URL.' },
  '40': SLOW,
  '42501': { code: 'io', fix: "Give the URL's user the right to create and change tables in the schema." },
  '42': SCHEMA,
  '53': { code: 'unavailable', fix: 'Raise max_connections of the server, or give it more memory.' },
  '53100': { code: 'disk-full', fix: 'Free space on the disk of the database; reads go on.' },
  '55P03': SLOW,
  '57014': SLOW,
  XX001: { code: 'unreadable', fix: 'Its files are damaged: restore the database from a backup.' },
  XX002: { code: 'unreadable', fix: 'An index of it is damaged: rebuild it with REINDEX.' },
};

const TLS = /TLS|SSL|CERT|SELF_SIGNED|UNABLE_TO_/;
const LOGIN = /SASL|password/i;

/** The error of one query: of the port, or a ConflictError. `target`: the database, as people are to see it. */
export function databaseError(error: unknown, target: string, redact: (text: string) => string): Error {
  const { code, message } = error as { code?: unknown; message?: unknown };
  const state = typeof code === 'string' ? code : '';
  const text = typeof message === 'string' && message !== '' ? message : state;
  // The library's own errors lead to the connection, with all that belongs to it.
  const reason = redact(/^[0-9A-Z]{5}$/.test(state) ? `${text}, SQLSTATE ${state}` : text);
  if (CONFLICTS.includes(state)) return new ConflictError(reason);
  const cause = causeOf(state, text);
  const what = cause.code === 'unavailable' ? 'is not available' : 'has failed';
  return new HubStoreError(cause.code, `The database ${target} ${what} (${reason}). ${cause.fix}`);
}

function causeOf(state: string, text: string): Cause {
  if (/^[0-9A-Z]{5}$/.test(state)) {
    const unknown: Cause = { code: 'io', fix: 'See the log of the database.' };
    return CAUSES[state] ?? CAUSES[state.slice(0, 2)] ?? unknown;
  }
  if (TLS.test(state) || /\bSSL\b|certificate/i.test(text)) {
    return { code: 'io', fix: 'Check sslmode in the URL, and the certificate of the server.' };
  }
  if (LOGIN.test(text)) return { code: 'io', fix: 'Check user and password in the URL.' };
  return AWAY;
}
