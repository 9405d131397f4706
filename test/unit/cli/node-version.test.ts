import { describe, expect, it } from 'vitest';
import packageJson from '../../../package.json' with { type: 'json' };
import { nodeVersionRefusal } from '../../../src/cli/node-version.ts';

const TEXT = 'holdfast needs Node.js 22.13 or later; this is 20.20.2';

function refusal(version: string, ...args: readonly string[]): string | null {
  return nodeVersionRefusal('>=22.13', version, args);
}

describe('the version of Node.js', () => {
  it.each(['22.13.0', '22.20.1', '23.0.0', '26.10.0', '100.0.0'])('%s will do', (version) => {
    expect(refusal(version, 'start')).toBeNull();
  });

  it.each(['20.20.2', '18.0.0', '22.12.9', '22.9.0', '9.22.13'])('%s is too old', (version) => {
    expect(refusal(version, 'start')).toBe(`holdfast needs Node.js 22.13 or later; this is ${version}`);
  });

  it('is not looked at for help and the version', () => {
    for (const args of [['--version'], ['-V'], ['--help'], ['put', '--help'], ['put', '-h'], ['help', 'put']]) {
      expect(refusal('20.20.2', ...args)).toBeNull();
    }
    expect(refusal('20.20.2')).toBe(TEXT);
    expect(refusal('20.20.2', 'put', 'default', 'key', '--', '--help')).toBe(TEXT);
  });

  it('is told to programs as they read errors', () => {
    expect(refusal('20.20.2', 'status', '--json')).toBe(JSON.stringify({ code: 'failed', message: TEXT }));
  });

  it('is taken from package.json in a form that is understood', () => {
    expect(packageJson.engines.node).toMatch(/^>=\d+\.\d+$/);
  });
});
