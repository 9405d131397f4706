import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statfsSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const MIB = 1024 * 1024;

/** Why small file systems cannot be mounted here, or undefined where they can. */
export function smallDiskUnavailable(): string | undefined {
  if (process.platform !== 'linux') return 'loop devices exist on Linux only';
  if (process.getuid?.() !== 0) return 'mounting needs root';
  for (const tool of ['mkfs.ext4', 'mount', 'umount']) {
    if (spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0) return `${tool} is not installed`;
  }
  const mountPoint = mkdtempSync(join(tmpdir(), 'hf-try-mount-'));
  try {
    SmallDisk.mount(mountPoint, 8).unmount();
    return undefined;
  } catch (error) {
    return `this machine mounts no images: ${String(error)}`;
  } finally {
    rmSync(mountPoint, { recursive: true, force: true });
  }
}

/** A file system of a few megabytes in an image of its own. `unmount` belongs in the test's last hook. */
export class SmallDisk {
  readonly mountPoint: string;
  private readonly directory: string;
  private mounted = true;

  private constructor(mountPoint: string, directory: string) {
    this.mountPoint = mountPoint;
    this.directory = directory;
  }

  /** Makes `mountPoint` where it does not exist. */
  static mount(mountPoint: string, sizeMib: number): SmallDisk {
    const directory = mkdtempSync(join(tmpdir(), 'hf-disk-'));
    const image = join(directory, 'image');
    try {
      writeFileSync(image, '');
      truncateSync(image, sizeMib * MIB);
      // Nothing is kept back for root, who runs the test.
      run('mkfs.ext4', ['-q', '-F', '-m', '0', image]);
      mkdirSync(mountPoint, { recursive: true });
      run('mount', ['-o', 'loop', image, mountPoint]);
    } catch (error) {
      rmSync(directory, { recursive: true, force: true });
      throw error;
    }
    return new SmallDisk(mountPoint, directory);
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.mountPoint);
    return bavail * bsize;
  }

  /** Takes space with a file beside the data until only so much is left; returns what gives it back. */
  fillUpTo(freeMib: number): () => void {
    const ballast = join(this.mountPoint, 'ballast');
    const piece = Buffer.alloc(MIB, 0x5a);
    while (this.freeBytes > (freeMib + 1) * MIB) writeFileSync(ballast, piece, { flag: 'a' });
    return () => rmSync(ballast, { force: true });
  }

  unmount(): void {
    if (!this.mounted) return;
    run('umount', [this.mountPoint]);
    this.mounted = false;
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function run(command: string, args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? stderr.trim()}`);
}
