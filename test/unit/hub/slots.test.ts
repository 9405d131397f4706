import { expect, it } from 'vitest';
import { Slots } from '../../../src/hub/slots.ts';

it('runs so many at a time, the others in their order, also after failures', async () => {
  const slots = new Slots(2);
  const begun: number[] = [];
  const ends: ((error?: Error) => void)[] = [];
  const runs = [0, 1, 2, 3].map((i) =>
    slots.run(
      () =>
        new Promise<number>((resolve, reject) => {
          begun.push(i);
          ends[i] = (error) => (error === undefined ? resolve(i) : reject(error));
        }),
    ),
  );
  expect(begun).toEqual([0, 1]);
  ends[1]?.(new Error('failed'));
  await expect(runs[1]).rejects.toThrow('failed');
  expect(begun).toEqual([0, 1, 2]);
  ends[0]?.();
  await runs[0];
  const late = slots.run(async () => void begun.push(4));
  expect(begun).toEqual([0, 1, 2, 3]);
  ends[2]?.();
  await late;
  ends[3]?.();
  expect(await Promise.all([runs[2], runs[3]])).toEqual([2, 3]);
  expect(begun).toEqual([0, 1, 2, 3, 4]);
});
