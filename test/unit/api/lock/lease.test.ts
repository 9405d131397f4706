import { describe, expect, it } from 'vitest';
import {
  acquire,
  isHeld,
  keptUntilMs,
  type Lease,
  release,
  renew,
  type Step,
  TAKEOVER_MARGIN_MS,
  TTL_MS_MAX,
} from '../../../../src/api/lock/lease.ts';
import { leaseContent, readLease } from '../../../../src/api/lock/lease-content.ts';

const NOW = 1_700_000_000_000;
const DAY_MS = 86_400_000;
const at = (nowMs: number) => ({ sinceMs: nowMs, nowMs });
const ask = (owner: string, ttlMs = 1000) => ({ name: 'x', owner, ttlMs, attempt: `by ${owner}` });
const ann: Lease = { owner: 'ann', token: NOW, untilMs: NOW + 1000, ttlMs: 1000, attempt: 'by ann' };

function written<T>(step: Step<T>): Lease {
  if (step.type !== 'write') throw new Error(`not written but ${JSON.stringify(step)}`);
  return step.lease;
}

describe('acquiring', () => {
  it('takes what is free, with the clock as the first token', () => {
    expect(written(acquire(null, ask('ann'), at(NOW)))).toEqual(ann);
  });

  it.each([
    ['a later clock', NOW + 5000, NOW + 5000],
    ['the same clock', NOW, NOW + 1],
    ['an earlier clock', NOW - 5000, NOW + 1],
  ])('gives a higher token by %s', (_clock, nowMs, token) => {
    expect(written(acquire({ ...ann, untilMs: null }, ask('ben'), at(nowMs)))).toMatchObject({ owner: 'ben', token });
  });

  it('is refused until the margin after the end is over', () => {
    const lastMs = NOW + 1000 + TAKEOVER_MARGIN_MS;
    expect(acquire(ann, ask('ben'), at(lastMs))).toMatchObject({
      type: 'refuse',
      failure: {
        code: 'lock-held',
        stateChanged: 'no',
        data: { owner: 'ann', token: NOW, expiresAt: new Date(NOW + 1000).toISOString() },
      },
    });
    expect(written(acquire(ann, ask('ben'), at(lastMs + 1)))).toMatchObject({ owner: 'ben', token: lastMs + 1 });
  });

  it('knows its own attempt again and extends it', () => {
    expect(acquire(ann, ask('ann'), at(NOW))).toEqual({ type: 'done', result: ann });
    expect(written(acquire(ann, ask('ann'), at(NOW + 500)))).toEqual({ ...ann, untilMs: NOW + 1500 });
    const again = written(acquire({ ...ann, untilMs: null }, ask('ann'), at(NOW + 500)));
    expect(again.token).toBe(NOW + 500);
  });

  it('is not held up for years by a clock that was ahead once', () => {
    const ahead = { ...ann, token: NOW + 400 * DAY_MS, untilMs: NOW + 400 * DAY_MS };
    expect(written(acquire(ahead, ask('ben'), at(NOW)))).toMatchObject({ token: ahead.token + 1, untilMs: NOW + 1000 });
    expect(written(renew(ahead, { name: 'x', token: ahead.token, ttlMs: null }, at(NOW))).untilMs).toBe(NOW + 1000);
    expect(isHeld({ ...ann, untilMs: NOW + 2 * TTL_MS_MAX }, NOW)).toBe(true);
  });
});

describe('renewing', () => {
  const ask = (token: number, ttlMs: number | null = null) => ({ name: 'x', token, ttlMs });

  it('extends, and never shortens', () => {
    expect(written(renew(ann, ask(NOW), at(NOW + 400)))).toEqual({ ...ann, untilMs: NOW + 1400 });
    expect(written(renew(ann, ask(NOW, 9000), at(NOW + 400)))).toEqual({ ...ann, untilMs: NOW + 9400, ttlMs: 9000 });
    expect(written(renew(ann, ask(NOW, 100), at(NOW + 400)))).toEqual({ ...ann, ttlMs: 100 });
  });

  it('comes late where nobody else has the lock', () => {
    expect(written(renew(ann, ask(NOW), at(NOW + 60_000)))).toEqual({ ...ann, untilMs: NOW + 61_000 });
  });

  it('is done where an earlier write of the same request took effect', () => {
    const times = { sinceMs: NOW + 400, nowMs: NOW + 900 };
    const extended = { ...ann, untilMs: NOW + 1500 };
    expect(renew(extended, ask(NOW), times)).toEqual({ type: 'done', result: extended });
  });

  it('is refused after somebody else took the lock, or it was released', () => {
    const data = { held: true, owner: 'ann', token: NOW, expiresAt: new Date(NOW + 1000).toISOString() };
    expect(renew(ann, ask(NOW - 1), at(NOW))).toMatchObject({ failure: { code: 'stale-token', data } });
    const free = { ...ann, untilMs: null };
    const released = renew(free, ask(NOW), at(NOW));
    expect(released).toMatchObject({ failure: { code: 'stale-token', data: { held: false, token: NOW } } });
    expect(renew(null, ask(NOW), at(NOW))).toMatchObject({ failure: { code: 'stale-token', data: { held: false } } });
  });
});

describe('releasing', () => {
  it('leaves the token behind', () => {
    expect(written(release(ann, 'x', NOW, NOW))).toEqual({ ...ann, untilMs: null });
    expect(written(release(ann, 'x', NOW, NOW + 60_000))).toEqual({ ...ann, untilMs: null });
  });

  it('does nothing where nobody else holds the lock', () => {
    for (const lease of [null, { ...ann, untilMs: null }, { ...ann, token: NOW + 1, untilMs: null }]) {
      expect(release(lease, 'x', NOW, NOW)).toEqual({ type: 'done', result: null });
    }
    expect(release({ ...ann, token: NOW + 1 }, 'x', NOW, NOW + 60_000)).toEqual({ type: 'done', result: null });
  });

  it('is refused while somebody else holds it', () => {
    expect(release(ann, 'x', NOW - 1, NOW)).toMatchObject({ failure: { code: 'stale-token', data: { owner: 'ann' } } });
  });
});

describe('what is stored', () => {
  it('makes the round trip', () => {
    for (const lease of [ann, { ...ann, untilMs: null, owner: 'ünï😀"' }]) {
      expect(readLease(leaseContent(lease, NOW))).toEqual(lease);
    }
    expect(readLease(null)).toBeNull();
  });

  it('is kept until the clock has passed the token by a day', () => {
    expect(leaseContent({ ...ann, untilMs: null }, NOW).expiresAtMs).toBe(NOW + DAY_MS);
    expect(keptUntilMs(ann, NOW)).toBe(NOW + 1000 + DAY_MS);
    expect(keptUntilMs({ ...ann, token: NOW + 5000 }, NOW)).toBe(NOW + 5000 + DAY_MS);
  });

  const json = JSON.stringify;
  it.each([
    ['', undefined],
    ['{', undefined],
    ['[]', undefined],
    ['\xff', undefined],
    [json({ ...ann, token: 0 }), undefined],
    [json({ ...ann, token: 1.5 }), undefined],
    [json({ ...ann, untilMs: '1' }), undefined],
    [json({ ...ann, untilMs: -1 }), undefined],
    [json({ ...ann, ttlMs: undefined }), undefined],
    [json({ ...ann, more: 1 }), undefined],
    [json(ann), 'application/json'],
  ])('is refused as %s', (text, contentType = leaseContent(ann, NOW).contentType) => {
    const content = { bytes: Buffer.from(text, 'latin1'), contentType, expiresAtMs: null };
    expect(() => readLease(content)).toThrow(expect.objectContaining({ code: 'internal' }));
  });
});
