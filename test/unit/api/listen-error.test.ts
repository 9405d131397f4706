import { describe, expect, it } from 'vitest';
import { ListenError, listenErrorOf } from '../../../src/api/listen-error.ts';

const explain = (code: string, host = '127.0.0.1'): unknown =>
  listenErrorOf(Object.assign(new Error(code), { code }), 'RESP listener', '--resp', host, 7379);

describe('listen errors', () => {
  it.each([
    ['EADDRINUSE', 'address-in-use'],
    ['EADDRNOTAVAIL', 'address-not-available'],
    ['ENOTFOUND', 'address-not-available'],
    ['EACCES', 'permission'],
  ])('%s is %s, in one line that names the listener, the place and the option', (code, expected) => {
    const error = explain(code) as ListenError;
    expect(error).toBeInstanceOf(ListenError);
    expect(error.code).toBe(expected);
    expect(error.message).toMatch(/^cannot open the RESP listener on 127\.0\.0\.1:7379: [^\n]+--resp HOST:PORT$/);
  });

  it('write IPv6 addresses in brackets', () => {
    expect((explain('EADDRINUSE', '::1') as ListenError).message).toContain('[::1]:7379');
  });

  it('leave other errors as they are', () => {
    const other = new TypeError('x');
    expect(listenErrorOf(other, 'HTTP API', '--http', 'x', 1)).toBe(other);
    expect(explain('EMFILE')).not.toBeInstanceOf(ListenError);
  });
});
