const BYTEA = 17;
const HEADER_BYTES = 20;
const LENGTH_BYTES = 4;
const NULL_LENGTH = -1;

/**
 * A parameter of type `bytea[]` in the protocol's binary form: as text it would take twice the bytes, and the server as long again
 * to read them. One dimension that counts from 1; null: no value.
 */
export function byteaArray(values: readonly (Uint8Array | null)[]): Buffer {
  const lengths = values.reduce((sum, value) => sum + LENGTH_BYTES + (value?.length ?? 0), 0);
  const array = Buffer.allocUnsafe(HEADER_BYTES + lengths);
  // Dimensions, whether there are nulls, type of the elements, and of the one dimension its length and first index.
  const header = [1, values.includes(null) ? 1 : 0, BYTEA, values.length, 1];
  let at = 0;
  for (const field of header) at = array.writeInt32BE(field, at);
  for (const value of values) {
    at = array.writeInt32BE(value?.length ?? NULL_LENGTH, at);
    if (value === null) continue;
    array.set(value, at);
    at += value.length;
  }
  return array;
}
