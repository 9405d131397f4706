/** Keys and values of the load. */

export const VALUE_BYTES = 256;
/** Distinct values that puts choose from. */
const VALUES = 1024;

const values = Array.from({ length: VALUES }, () =>
  String.fromCharCode(...Array.from({ length: VALUE_BYTES }, () => randomBelow(256))),
);

export function randomValue(): string {
  return values[randomBelow(VALUES)] as string;
}

export function randomBelow(bound: number): number {
  return Math.floor(Math.random() * bound);
}

export function keyText(index: number): string {
  return `sensor-${String(index).padStart(8, '0')}`;
}
