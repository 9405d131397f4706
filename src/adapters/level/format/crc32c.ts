/** CRC-32C (Castagnoli), which Node's zlib does not have, eight bytes a step. */
const POLYNOMIAL = 0x82f63b78;
const TABLES = makeTables();

/** The checksum as LevelDB stores it: turned, so that one over bytes that hold checksums is not trivial. */
export function maskedCrc32c(...parts: readonly Uint8Array[]): number {
  let crc = 0xffffffff;
  for (const part of parts) crc = extend(crc, part);
  return masked(crc);
}

/** Those of the first byte, the first two bytes, and so on. */
export function runningMaskedCrc32c(bytes: Uint8Array): Uint32Array {
  let crc = 0xffffffff;
  return Uint32Array.from(bytes, (_, at) => {
    crc = extend(crc, bytes.subarray(at, at + 1));
    return masked(crc);
  });
}

function masked(state: number): number {
  const crc = ~state >>> 0;
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

function extend(start: number, bytes: Uint8Array): number {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = TABLES;
  let crc = start;
  let at = 0;
  for (const end = bytes.length - 7; at < end; at += 8) {
    crc ^= byte(bytes, at) | (byte(bytes, at + 1) << 8) | (byte(bytes, at + 2) << 16) | (byte(bytes, at + 3) << 24);
    crc =
      look(t7, crc) ^
      look(t6, crc >>> 8) ^
      look(t5, crc >>> 16) ^
      look(t4, crc >>> 24) ^
      look(t3, byte(bytes, at + 4)) ^
      look(t2, byte(bytes, at + 5)) ^
      look(t1, byte(bytes, at + 6)) ^
      look(t0, byte(bytes, at + 7));
  }
  for (; at < bytes.length; at++) crc = look(t0, crc ^ byte(bytes, at)) ^ (crc >>> 8);
  return crc;
}

function byte(bytes: Uint8Array, at: number): number {
  return bytes[at] as number;
}

function look(table: Int32Array, value: number): number {
  return table[value & 0xff] as number;
}

type Tables = [Int32Array, Int32Array, Int32Array, Int32Array, Int32Array, Int32Array, Int32Array, Int32Array];

function makeTables(): Tables {
  const tables = Array.from({ length: 8 }, () => new Int32Array(256)) as Tables;
  for (let value = 0; value < 256; value++) {
    let crc = value;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
    tables[0][value] = crc;
  }
  for (let value = 0; value < 256; value++) {
    let crc = look(tables[0], value);
    for (let table = 1; table < 8; table++) {
      crc = look(tables[0], crc) ^ (crc >>> 8);
      (tables[table] as Int32Array)[value] = crc;
    }
  }
  return tables;
}
