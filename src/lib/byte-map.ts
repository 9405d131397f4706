import { hash32 } from './hash.ts';

interface Slot<V> {
  readonly key: Uint8Array;
  value: V;
}

/** A map whose keys are bytes, compared by content; in the order of insertion. */
export class ByteMap<V> {
  private readonly buckets = new Map<number, Slot<V>[]>();
  private readonly slots: Slot<V>[] = [];

  get size(): number {
    return this.slots.length;
  }

  get(key: Uint8Array): V | undefined {
    return this.find(key)?.value;
  }

  has(key: Uint8Array): boolean {
    return this.find(key) !== undefined;
  }

  set(key: Uint8Array, value: V): void {
    const slot = this.find(key);
    if (slot !== undefined) {
      slot.value = value;
      return;
    }
    const added = { key, value };
    const hash = hash32(key);
    const bucket = this.buckets.get(hash);
    if (bucket === undefined) this.buckets.set(hash, [added]);
    else bucket.push(added);
    this.slots.push(added);
  }

  entries(): readonly { readonly key: Uint8Array; readonly value: V }[] {
    return this.slots;
  }

  private find(key: Uint8Array): Slot<V> | undefined {
    return this.buckets.get(hash32(key))?.find((slot) => sameBytes(slot.key, key));
  }
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Lexicographic order of unsigned bytes: negative, zero or positive. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const difference = (a[i] as number) - (b[i] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
