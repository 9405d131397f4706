import { randomBytes } from 'node:crypto';
import { open, readFile, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import {
  generateKeyPair,
  generateKeyPairFromSeed,
  privateKeyFromProtobuf,
  privateKeyToProtobuf,
} from '@libp2p/crypto/keys';
import type { PrivateKey } from '@libp2p/interface';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import type { NodeId } from '../../ports/transport.ts';
import { TransportError } from '../../ports/transport.ts';

/** The key that a node is known by. Whoever holds the file is the node. */
export interface Identity {
  readonly peer: NodeId;
  readonly privateKey: PrivateKey;
}

const KEY_FILE = 'identity.key';
/** RFC 8032, section 5.1.5. */
const SEED_BYTES = 32;

/** The node's Ed25519 key as it is in the data directory; null where there is none. Fails as `loadIdentity`. */
export async function readIdentity(dataDir: string): Promise<Identity | null> {
  const path = join(dataDir, KEY_FILE);
  const stored = await readKeyFile(path);
  return stored === undefined ? null : await decodeIdentity(stored, path);
}

/**
 * Reads the node's Ed25519 key from `identity.key` in the data directory, or creates it there (mode 0600, synced
 * before it is used, so that a crash never leaves a node with two identities). The directory must exist.
 * Fails with TransportError `identity-corrupt` (the file is left as it is) or `identity-io`.
 */
export async function loadIdentity(dataDir: string): Promise<Identity> {
  const known = await readIdentity(dataDir);
  if (known !== null) return known;
  const identity = await createIdentity();
  await writeKeyFile(join(dataDir, KEY_FILE), dataDir, privateKeyToProtobuf(identity.privateKey));
  return identity;
}

/** An identity that is not kept. */
export async function createIdentity(): Promise<Identity> {
  return identityOf(await generateKeyPair('Ed25519'));
}

function identityOf(privateKey: PrivateKey): Identity {
  return { peer: peerIdFromPrivateKey(privateKey).toString(), privateKey };
}

async function decodeIdentity(bytes: Uint8Array, path: string): Promise<Identity> {
  let key: PrivateKey;
  try {
    key = privateKeyFromProtobuf(bytes);
  } catch (cause) {
    throw new TransportError('identity-corrupt', corruptMessage(path), { cause });
  }
  if (key.type !== 'Ed25519') throw new TransportError('identity-corrupt', corruptMessage(path));
  // The file holds the public half as well; one that does not belong to the other would fail whatever is signed.
  const whole = await generateKeyPairFromSeed('Ed25519', key.raw.subarray(0, SEED_BYTES));
  if (!whole.equals(key)) throw new TransportError('identity-corrupt', corruptMessage(path));
  return identityOf(key);
}

function corruptMessage(path: string): string {
  return (
    `the identity file ${path} does not hold an Ed25519 private key; restore it from a backup, ` +
    'or move it away to let this node join as a new one'
  );
}

async function readKeyFile(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw ioError(path, 'read', cause);
  }
}

async function writeKeyFile(path: string, dataDir: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncDirectory(dataDir);
  } catch (cause) {
    await unlink(temporary).catch(() => undefined);
    throw ioError(path, 'write', cause);
  }
}

/** The rename itself is durable only once the directory is synced. */
async function syncDirectory(dataDir: string): Promise<void> {
  const directory = await open(dataDir, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function ioError(path: string, verb: 'read' | 'write', cause: unknown): TransportError {
  const detail = cause instanceof Error ? cause.message : String(cause);
  return new TransportError(
    'identity-io',
    `cannot ${verb} the identity file ${path} (${detail}); check that the data directory exists and belongs to this user`,
    { cause },
  );
}
