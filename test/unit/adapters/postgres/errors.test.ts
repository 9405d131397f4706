import { describe, expect, it } from 'vitest';
import { ConflictError, databaseError } from '../../../../src/adapters/postgres/errors.ts';
import { openHubPostgresStore } from '../../../../src/adapters/postgres/hub-postgres-store.ts';
import { systemClock } from '../../../../src/adapters/system/clock.ts';
import { HubStoreError } from '../../../../src/ports/hub-store.ts';
import { RecordingLog } from '../../../support/recording-log.ts';

const TARGET = 'db:5432/holdfast';

function errorOf(message: string, code?: string): Error {
  return databaseError(Object.assign(new Error(message), { code }), TARGET, (text) => text);
}

describe('an error of the database', () => {
  it.each([
    ['connect ECONNREFUSED 10.0.0.1:5432', 'ECONNREFUSED', 'unavailable'],
    ['Connection terminated unexpectedly', undefined, 'unavailable'],
    ['timeout exceeded when trying to connect', undefined, 'unavailable'],
    ['Query read timeout', undefined, 'unavailable'],
    ['terminating connection due to administrator command', '57P01', 'unavailable'],
    ['the database system is starting up', '57P03', 'unavailable'],
    ['canceling statement due to lock timeout', '55P03', 'unavailable'],
    ['canceling statement due to statement timeout', '57014', 'unavailable'],
    ['sorry, too many clients already', '53300', 'unavailable'],
    ['cannot execute INSERT in a read-only transaction', '25006', 'unavailable'],
    ['could not extend file', '53100', 'disk-full'],
    ['relation "holdfast_site" does not exist', '42P01', 'unreadable'],
    ['invalid page in block 3', 'XX001', 'unreadable'],
    ['permission denied for schema public', '42501', 'io'],
    ['password authentication failed for user "holdfast"', '28P01', 'io'],
    ['SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string', undefined, 'io'],
    ['database "holdfast" does not exist', '3D000', 'io'],
    ['The server does not support SSL connections', undefined, 'io'],
    ['self-signed certificate', 'DEPTH_ZERO_SELF_SIGNED_CERT', 'io'],
    ['what nobody has thought of', 'P0001', 'io'],
  ])('%s is %s: %s', (message, code, expected) => {
    const error = errorOf(message, code);
    expect(error).toBeInstanceOf(HubStoreError);
    expect((error as HubStoreError).code).toBe(expected);
    expect(error.message).toContain(message);
    expect(error.message).toContain(TARGET);
  });

  it.each(['40001', '40P01', '23503'])('%s is a conflict', (code) => {
    expect(errorOf('again', code)).toBeInstanceOf(ConflictError);
  });

  it('has a reason also where only its code says one, as of a host with several addresses', () => {
    expect(errorOf('', 'ECONNREFUSED').message).toContain('ECONNREFUSED');
  });
});

describe('a URL', () => {
  it.each([
    'mysql://u:hidden-word@h/d',
    'hidden-word',
    'postgres://u:hidden-word@h:notaport/d',
    'postgres://u:hidden-word@[h/d',
  ])('that cannot be read is refused without being shown: %s', async (url) => {
    const opening = openHubPostgresStore({ url, log: new RecordingLog(), clock: systemClock });
    const error = await opening.then(
      () => null,
      (reason: unknown) => reason as Error,
    );
    expect(error).toMatchObject({ name: 'HubStoreError', code: 'io' });
    expect(error?.message).not.toContain('hidden-word');
    expect(error?.cause).toBeUndefined();
  });
});
