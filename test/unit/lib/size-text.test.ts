import { expect, it } from 'vitest';
import { sizeText } from '../../../src/lib/size-text.ts';

it.each([
  [0, '0 B'],
  [0.6, '1 B'],
  [1023, '1023 B'],
  [1024, '1.0 KiB'],
  [1_572_864, '1.5 MiB'],
  [2 ** 50, '1024.0 TiB'],
])('%d bytes are %s', (bytes, text) => {
  expect(sizeText(bytes)).toBe(text);
});
