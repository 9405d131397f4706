/** Asked for without running anything: answered under any version. */
const HELP = new Set(['--help', '-h', 'help', '--version', '-V']);

/** What to say before anything else where the program cannot run; null where it can. `required`: `>=22.13`. */
export function nodeVersionRefusal(required: string, current: string, args: readonly string[]): string | null {
  const least = required.replace('>=', '');
  if (isAtLeast(current, least)) return null;
  const end = args.indexOf('--');
  const words = end < 0 ? args : args.slice(0, end);
  if (words.some((word) => HELP.has(word))) return null;
  const message = `holdfast needs Node.js ${least} or later; this is ${current}`;
  return words.includes('--json') ? JSON.stringify({ code: 'failed', message }) : message;
}

function isAtLeast(version: string, least: string): boolean {
  const numbers = version.split('.').map(Number);
  for (const [i, number] of least.split('.').map(Number).entries()) {
    const own = numbers[i] ?? 0;
    if (own !== number) return own > number;
  }
  return true;
}
