import { describe, expect, test } from 'vitest';
import { optionsOf } from '../../../scripts/sim/options.ts';

describe('the command line of the simulator', () => {
  test('many seeds by default, one where one is named', () => {
    expect(optionsOf([])).toMatchObject({ mode: 'many', first: 1, count: 100, seconds: 60, minimise: false });
    expect(optionsOf(['--seed', '7'])).toMatchObject({ mode: 'single', seed: 7 });
    expect(optionsOf(['--seed', '7', '--seeds', '3'])).toMatchObject({ mode: 'many', first: 7, count: 3 });
    expect(optionsOf(['--seeds', '3', '--jobs', '16'])).toMatchObject({ mode: 'many', jobs: 3 });
    expect(optionsOf(['--schedule', 'a.json', '--minimise'])).toMatchObject({ mode: 'single', schedule: 'a.json' });
    expect(optionsOf(['--scenario', 'list', '--nodes', '5000'])).toMatchObject({ mode: 'scenario', nodes: 5000 });
    expect(optionsOf(['--seeds', '3', '--ring'])).toMatchObject({ mode: 'many', ring: true, salvage: false });
    expect(optionsOf(['--seed', '3', '--salvage'])).toMatchObject({ mode: 'single', salvage: true });
    expect(optionsOf(['--seeds', '3', '--strong'])).toMatchObject({ mode: 'many', strong: true, ring: false });
    expect(optionsOf(['--help'])).toEqual({ mode: 'help' });
  });

  test.each([
    [['--seeds', '0'], '--seeds takes a whole number from 1'],
    [['--seed', '1.5'], '--seed takes a whole number'],
    [['--seconds=-1'], '--seconds takes a number above 0, not "-1"'],
    [['--seconds', ''], '--seconds takes a number above 0'],
    [['--nodes', '1'], '--nodes takes a whole number from 2 to 16'],
    [['--scenario', 'list', '--seeds', '2'], '--seeds has no meaning with --scenario'],
    [['--scenario', 'list', '--ring'], '--ring has no meaning'],
    [['--schedule', 'a.json', '--ring'], '--ring has no meaning with --schedule'],
    [['--scenario', 'list', '--minimise'], '--minimise has no meaning'],
    [['--schedule', 'a.json', '--strong'], '--strong has no meaning with --schedule'],
    [['--scenario', 'list', '--strong'], '--strong has no meaning'],
    [['--schedule', 'a.json', '--seed', '2'], '--seed has no meaning with --schedule'],
    [['--sedes', '1'], 'Unknown option'],
    [['extra'], 'Unexpected argument'],
  ])('%j is refused', (args, message) => {
    expect(() => optionsOf(args)).toThrow(message);
  });
});
