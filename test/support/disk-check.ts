import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openLevelStorage } from '../../src/adapters/level/level-storage.ts';
import type { Storage, StorageRange, StorageRow } from '../../src/ports/storage.ts';
import { Catalog } from '../../src/protocol/catalog/catalog.ts';
import type { CatalogState } from '../../src/protocol/catalog/record.ts';
import type { DotRange } from '../../src/protocol/causal/context.ts';
import type { Entries } from '../../src/protocol/causal/entry.ts';
import { readRegister } from '../../src/protocol/causal/value.ts';
import { Ring } from '../../src/protocol/ring/ring.ts';
import { catalogState } from '../../src/wire/catalog.ts';
import { decodeOne } from '../../src/wire/codec.ts';
import {
  decodeHintRow,
  decodeObjectRow,
  decodeShardId,
  decodeShardRow,
  metaNameIn,
  metaRange,
  tableRange,
} from '../../src/wire/record.ts';
import { RecordingLog } from './recording-log.ts';

/** What one node's disk holds. */
export interface DiskImage {
  readonly name: string;
  readonly peerId: string;
  readonly catalog: CatalogState;
  readonly shards: ReadonlyMap<number, { readonly complete: boolean; readonly context: readonly DotRange[] }>;
  /** By shard, then by `bucket/key`. */
  readonly objects: ReadonlyMap<number, ReadonlyMap<string, Entries>>;
  readonly hints: number;
  /** Records that failed their checksum. */
  readonly corrupt: number;
}

/** Reads a node's store; its process must not run. */
async function readDisk(name: string, peerId: string, dataDir: string): Promise<DiskImage> {
  let corrupt = 0;
  const storage = await openLevelStorage({
    directory: join(dataDir, 'store'),
    log: new RecordingLog(),
    onCorrupt: () => corrupt++,
  });
  try {
    const shards = new Map<number, { complete: boolean; context: readonly DotRange[] }>();
    for (const row of await rowsOf(storage, tableRange('shard'))) {
      const { shard, record } = decodeShardRow(row);
      shards.set(shard, { complete: record.complete, context: record.context.ranges() });
    }
    const objects = new Map<number, Map<string, Entries>>();
    for (const row of await rowsOf(storage, tableRange('object'))) {
      const shard = decodeShardId(row);
      const { name: object, entries } = decodeObjectRow(row);
      const ofShard = objects.get(shard) ?? new Map<string, Entries>();
      ofShard.set(`${object.bucket}/${object.key}`, entries);
      objects.set(shard, ofShard);
    }
    const hints = (await rowsOf(storage, tableRange('hint'))).map(decodeHintRow).length;
    const meta = (await rowsOf(storage, metaRange('catalog'))).find(({ key }) => metaNameIn(key) === 'catalog');
    if (meta === undefined) throw new Error(`${name} has no catalog on disk`);
    return { name, peerId, catalog: decodeOne(catalogState, meta.value), shards, objects, hints, corrupt };
  } finally {
    await storage.close();
  }
}

async function rowsOf(storage: Storage, range: StorageRange): Promise<StorageRow[]> {
  const all: StorageRow[] = [];
  let { from } = range;
  for (;;) {
    const rows = await storage.scan({ from, to: range.to }, 4096, 8 * 1024 * 1024);
    const last = rows.at(-1);
    if (last === undefined) return all;
    all.push(...rows);
    from = new Uint8Array([...last.key, 0]);
  }
}

/** A running node whose disk can be copied. */
export interface PausableNode {
  readonly name: string;
  readonly dataDir: string;
  signal(signal: NodeJS.Signals): void;
}

/**
 * Pauses running nodes one after the other and copies their stores as a crash would leave them; `onCopied` once all have
 * been, before they are read.
 */
export async function readRunningDisks(
  nodes: readonly PausableNode[],
  peerIds: readonly string[],
  onCopied: () => void = () => undefined,
): Promise<DiskImage[]> {
  const directory = mkdtempSync(join(tmpdir(), 'hf-disks-'));
  try {
    for (const node of nodes) {
      node.signal('SIGSTOP');
      try {
        cpSync(join(node.dataDir, 'store'), join(directory, node.name, 'store'), { recursive: true });
      } finally {
        node.signal('SIGCONT');
      }
    }
    onCopied();
    return await readDisks(
      nodes.map(({ name }, i) => ({ name, peerId: peerIds[i] ?? '', dataDir: join(directory, name) })),
    );
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

export async function readDisks(
  nodes: readonly { readonly name: string; readonly peerId: string; readonly dataDir: string }[],
): Promise<DiskImage[]> {
  const images: DiskImage[] = [];
  for (const { name, peerId, dataDir } of nodes) images.push(await readDisk(name, peerId, dataDir));
  return images;
}

/** The owners of a shard by the ring that the nodes' own catalogs describe. */
function ownersOf(images: readonly DiskImage[], ring: Ring, shard: number): DiskImage[] {
  const owners = ring.owners(shard);
  return images.filter(({ peerId }) => owners.includes(peerId));
}

export function ringOf(image: DiskImage, shards = 256, replicas = 3): Ring {
  return new Ring({ members: new Catalog(image.catalog).ringMembers, shards, replicas });
}

const DIFFERENCES_MAX = 20;

/**
 * Compares, for every shard, all its owners with the first: same context, same keys, same entries with the same dots,
 * stamps and values. Returns what differs, at most 20 lines; empty: all replicas are equal.
 */
export function replicaDifferences(images: readonly DiskImage[], replicas = 3): string[] {
  const [first] = images;
  if (first === undefined) return ['there is no disk to compare'];
  const differences: string[] = [];
  for (const image of images) {
    if (print(image.catalog) !== print(first.catalog)) differences.push(`${image.name}: another catalog`);
    if (image.corrupt > 0) differences.push(`${image.name}: ${image.corrupt} corrupt records`);
    if (image.hints > 0) differences.push(`${image.name}: ${image.hints} hints are left`);
  }
  const ring = ringOf(first, 256, replicas);
  for (let shard = 0; shard < ring.shards && differences.length < DIFFERENCES_MAX; shard++) {
    const owners = ownersOf(images, ring, shard);
    const expected = Math.min(replicas, ring.memberCount);
    if (owners.length !== expected)
      differences.push(`shard ${shard}: ${owners.length} owners of ${expected} have a disk`);
    const [reference, ...others] = owners;
    if (reference === undefined) continue;
    for (const owner of owners) {
      if (owner.shards.get(shard)?.complete !== true) differences.push(`shard ${shard}: ${owner.name} is incomplete`);
    }
    for (const other of others) differences.push(...shardDifferences(shard, reference, other));
  }
  return differences.slice(0, DIFFERENCES_MAX);
}

function shardDifferences(shard: number, a: DiskImage, b: DiskImage): string[] {
  const differences: string[] = [];
  const label = `shard ${shard}, ${a.name} and ${b.name}`;
  const [contextA, contextB] = [print(a.shards.get(shard)?.context), print(b.shards.get(shard)?.context)];
  if (contextA !== contextB) differences.push(`${label}: context ${contextA} against ${contextB}`);
  const [objectsA, objectsB] = [a.objects.get(shard) ?? NONE, b.objects.get(shard) ?? NONE];
  for (const key of new Set([...objectsA.keys(), ...objectsB.keys()])) {
    const [entriesA, entriesB] = [print(objectsA.get(key)), print(objectsB.get(key))];
    if (entriesA !== entriesB) differences.push(`${label}: ${key} is ${short(entriesA)} against ${short(entriesB)}`);
  }
  return differences;
}

const NONE: ReadonlyMap<string, Entries> = new Map();

function print(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    part instanceof Uint8Array ? Buffer.from(part).toString('latin1') : part,
  );
}

function short(text: string | undefined): string {
  if (text === undefined) return 'absent';
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

/** What a reader of an `lww` bucket would see of a key on one disk; null when it is absent. */
export function valueOn(image: DiskImage, ring: Ring, bucket: string, key: string): string | null {
  const entries = image.objects.get(ring.shardOf(bucket, key))?.get(`${bucket}/${key}`);
  const register = readRegister(entries ?? []);
  return register === undefined ? null : Buffer.from(register.payload.value).toString('utf8');
}
