/**
 * Adds to package-lock.json the platform packages that npm left out. When a registry cannot answer for an optional
 * package of another platform (a partial mirror, a release still spreading), npm writes a lock file without it, and
 * `npm ci` then refuses that lock file everywhere. Run it after changing dependencies; it changes nothing when the lock
 * file is complete. The added entries carry no integrity value, because no one has seen those files.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

interface LockedPackage {
  readonly version?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly [field: string]: unknown;
}

interface Lockfile {
  packages: Record<string, LockedPackage>;
}

const systems = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32'];
const processors = ['arm', 'arm64', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'wasm32', 'x64'];
const libraries: Readonly<Record<string, string>> = { gnu: 'glibc', musl: 'musl' };

/** Whether Node, starting from the dependent and going outwards, finds the package. */
function isLocked(lock: Lockfile, dependent: string, name: string): boolean {
  const folders = dependent.split('/node_modules/');
  const prefixes = folders.map((_, depth) => `${folders.slice(0, depth + 1).join('/node_modules/')}/`);
  return ['', ...prefixes].some((prefix) => lock.packages[`${prefix}node_modules/${name}`] !== undefined);
}

function platformOf(name: string): Record<string, string[]> {
  const words = name.split(/[-/@]/);
  const system = words.find((word) => systems.includes(word));
  const processor = words.find((word) => processors.includes(word));
  if (system === undefined || processor === undefined) throw new Error(`cannot tell the platform of ${name}`);
  const library = words.map((word) => libraries[word]).find((value) => value !== undefined);
  return { cpu: [processor], ...(library === undefined ? {} : { libc: [library] }), os: [system] };
}

/** The optional packages that the lock file asks for and does not hold, as [path, entry]. */
export function missingEntries(lock: Lockfile): [string, LockedPackage][] {
  const missing: [string, LockedPackage][] = [];
  for (const [dependent, { optionalDependencies = {}, dev = false }] of Object.entries(lock.packages)) {
    for (const [name, version] of Object.entries(optionalDependencies)) {
      if (isLocked(lock, dependent, name)) continue;
      if (!/^\d+\.\d+\.\d+/.test(version)) throw new Error(`${name}@${version} is a range; run npm install again`);
      const entry = { version, ...platformOf(name), ...(dev ? { dev } : {}), optional: true };
      missing.push([`node_modules/${name}`, entry]);
    }
  }
  return missing;
}

if (import.meta.main) {
  const file = join(resolve(import.meta.dirname, '..'), 'package-lock.json');
  const lock = JSON.parse(readFileSync(file, 'utf8')) as Lockfile;
  const missing = missingEntries(lock);
  const packages = Object.entries({ ...lock.packages, ...Object.fromEntries(missing) });
  packages.sort(([left], [right]) => left.localeCompare(right, 'en'));
  writeFileSync(file, `${JSON.stringify({ ...lock, packages: Object.fromEntries(packages) }, undefined, 2)}\n`);
  console.log(`package-lock.json: ${missing.length} platform packages added`);
}
