import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { VALUE_BYTES_MAX } from '../../../src/ports/node-handle.ts';
import { CHANNEL_BYTES_MAX } from '../../../src/ports/pub-sub.ts';
import { PUBLICATION_BYTES_MAX } from '../../../src/ports/transport.ts';
import { DecodeError } from '../../../src/wire/codec.ts';
import { decodePublication, encodePublication } from '../../../src/wire/publication.ts';

const channel = fc.uint8Array({ maxLength: CHANNEL_BYTES_MAX });
const message = fc.uint8Array({ maxLength: 5000 });

describe('publication', () => {
  it('brings channel and message back, in bytes of their own', () => {
    fc.assert(
      fc.property(channel, message, (c, m) => {
        const data = encodePublication({ channel: c, message: m });
        const decoded = decodePublication(data);
        data.fill(0);
        expect(decoded).toEqual({ channel: c, message: m });
      }),
    );
  });

  it('fits a publication of the transport at its largest', () => {
    const largest = { channel: new Uint8Array(CHANNEL_BYTES_MAX), message: new Uint8Array(VALUE_BYTES_MAX) };
    expect(encodePublication(largest).length).toBeLessThanOrEqual(PUBLICATION_BYTES_MAX);
  });

  it('refuses what is cut short or over its bounds', () => {
    const data = encodePublication({ channel: new Uint8Array(3), message: new Uint8Array(5) });
    for (let length = 0; length < data.length; length++) {
      expect(() => decodePublication(data.subarray(0, length))).toThrow(DecodeError);
    }
    const long = encodePublication({ channel: new Uint8Array(CHANNEL_BYTES_MAX + 1), message: new Uint8Array() });
    expect(() => decodePublication(long)).toThrow('exceeds its bound');
    const large = encodePublication({ channel: new Uint8Array(), message: new Uint8Array(VALUE_BYTES_MAX + 1) });
    expect(() => decodePublication(large)).toThrow('exceeds its bound');
  });

  it('throws nothing else, whatever comes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (data) => {
        try {
          decodePublication(data);
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError);
        }
      }),
    );
  });
});
