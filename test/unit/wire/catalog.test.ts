import { expect, it } from 'vitest';
import type { BucketRecord, CatalogState } from '../../../src/protocol/catalog/record.ts';
import { catalogState } from '../../../src/wire/catalog.ts';
import { DecodeError, decodeOne, encodeOne } from '../../../src/wire/codec.ts';
import { decodeFrame, FrameWriter } from '../../../src/wire/message.ts';

/** As versions before the policy for islands wrote it, on the disk and in a frame. */
const OLD_STATE = Buffer.from(
  '0002056361727473010001000000013c000000000663616d6572610100000102010668616c6c2d31010000000007',
  'hex',
);
const OLD_FRAME = Buffer.from(
  '30330002056361727473010001000000013c000000000663616d6572610100000102010668616c6c2d3101000000000701',
  'hex',
);

const COMMON = { version: 1, consistency: 'eventual', island: 'accept' } as const;
const CARTS: BucketRecord = {
  ...COMMON,
  name: 'carts',
  conflict: 'siblings',
  replicas: null,
  preferredZones: [],
  sync: 'none',
  ttlSeconds: 60,
  born: 0,
};
const CAMERA: BucketRecord = {
  ...COMMON,
  name: 'camera',
  conflict: 'lww',
  replicas: 2,
  preferredZones: ['hall-1'],
  sync: 'up',
  ttlSeconds: null,
  born: 7,
};
const STATE: CatalogState = { members: [], buckets: [CARTS, CAMERA] };

it('reads buckets from before there was a policy for islands', () => {
  expect(decodeOne(catalogState, OLD_STATE)).toEqual(STATE);
  expect(decodeFrame(OLD_FRAME)).toEqual({ messages: [{ type: 'catalog', state: STATE, reply: true }], unknown: 0 });
});

it('writes what an older node reads to where its own format ends', () => {
  const refusing: CatalogState = { ...STATE, buckets: [{ ...CARTS, island: 'refuse' }, CAMERA] };
  const stored = encodeOne(catalogState, refusing);
  expect(Buffer.from(stored.subarray(0, OLD_STATE.length))).toEqual(OLD_STATE);
  expect(decodeOne(catalogState, stored)).toEqual(refusing);
  const writer = new FrameWriter();
  writer.add({ type: 'catalog', state: refusing, reply: true });
  // Behind the length of the message.
  expect(Buffer.from(writer.take().subarray(1, OLD_FRAME.length))).toEqual(OLD_FRAME.subarray(1));
});

it('refuses policies that are not one for each bucket', () => {
  const stored = encodeOne(catalogState, STATE);
  stored[OLD_STATE.length] = 1;
  expect(() => decodeOne(catalogState, stored)).toThrow(DecodeError);
});
