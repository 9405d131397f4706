import { describe, expect, it } from 'vitest';
import { DeadlineQueue } from '../../../src/lib/deadline-queue.ts';

interface Operation {
  readonly name: string;
  ended: boolean;
}

function operation(name: string): Operation {
  return { name, ended: false };
}

describe('DeadlineQueue', () => {
  it('gives operations back in the order of their deadlines, but for those that have ended', () => {
    const queue = new DeadlineQueue<Operation>(100);
    const [first, second, third] = ['first', 'second', 'third'].map(operation) as [Operation, Operation, Operation];
    queue.push(first, 0);
    queue.push(second, 10);
    queue.push(third, 20);
    expect(queue.next()).toBe(100);
    first.ended = true;
    expect(queue.next()).toBe(110);
    expect(queue.pop(109)).toBeUndefined();
    expect(queue.pop(120)).toBe(second);
    expect(queue.pop(120)).toBe(third);
    expect(queue.pop(120)).toBeUndefined();
    expect(queue.next()).toBeUndefined();
  });

  it('lets go of operations once their turn has passed', () => {
    const queue = new DeadlineQueue<Operation>(100);
    const operations = Array.from({ length: 900 }, (_, i) => operation(`${i}`));
    for (const each of operations) queue.push(each, 0);
    for (const each of operations.slice(0, 800)) each.ended = true;
    queue.next();
    for (let i = 0; i < 50; i++) queue.pop(100);
    const { items } = queue as unknown as { items: readonly { item: unknown }[] };
    const held = new Set(items.map(({ item }) => item));
    expect(operations.filter((each) => held.has(each))).toEqual(operations.slice(850));
  });
});
