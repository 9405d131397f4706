import { describe, expect, it } from 'vitest';
import { createLog } from '../../../../src/adapters/system/log.ts';

function collect() {
  const lines: string[] = [];
  return { lines, stream: { write: (line: string) => void lines.push(line) } };
}

describe('log', () => {
  it('writes JSON: level by name, ISO time, flat fields, those of the parents too', () => {
    const { lines, stream } = collect();
    const log = createLog({ level: 'info', format: 'json', stream }).child({ node: 'edge-1' }).child({ part: 'store' });
    log.warn('disk is slow', { waitedMs: 12, key: undefined, peer: null });
    expect(lines).toHaveLength(1);
    const { time, ...entry } = JSON.parse(lines[0] as string);
    expect(new Date(time).toISOString()).toBe(time);
    expect(entry).toEqual({
      level: 'warn',
      node: 'edge-1',
      part: 'store',
      waitedMs: 12,
      peer: null,
      msg: 'disk is slow',
    });
  });

  it('leaves out what is below the level', () => {
    const { lines, stream } = collect();
    const log = createLog({ level: 'warn', format: 'json', stream });
    log.debug('no');
    log.info('no');
    log.warn('yes');
    log.error('yes');
    expect(lines).toHaveLength(2);
  });

  it('writes pretty lines in the same turn, without colours into a pipe', () => {
    const { lines, stream } = collect();
    createLog({ level: 'debug', format: 'pretty', stream }).error('cannot open', { code: 'in-use' });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^\[\d\d:\d\d:\d\d\.\d{3}\] ERROR: cannot open \{"code":"in-use"\}\n$/);
  });
});
