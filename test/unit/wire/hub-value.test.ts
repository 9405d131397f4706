import { describe, expect, it } from 'vitest';
import { hlcAt } from '../../../src/lib/hlc.ts';
import type { Entry } from '../../../src/ports/hub-store.ts';
import { hasValue, plainValue } from '../../../src/wire/hub-value.ts';
import { ACTOR, OTHER, register, START_MS } from '../../support/hub-transactions.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (entries: readonly Entry[]): string => new TextDecoder().decode(plainValue(entries)?.value);

function entry(counter: number, payload: Entry['payload'], rest: Partial<Entry> = {}): Entry {
  return { dot: { actor: ACTOR, counter }, hlc: hlcAt(START_MS), expiresAtMs: 0, payload, ...rest };
}

function typed(value: Uint8Array, contentType: string): Entry {
  return entry(1, { kind: 'register', value, contentType });
}

describe('the plain value of a key', () => {
  it('is the register that wins, with who has written it and when', () => {
    const entries = [
      register(1, 'old'),
      register(2, 'new', { dot: { actor: OTHER, counter: 2 }, expiresAtMs: START_MS }),
    ];
    expect(plainValue(entries)).toEqual({
      value: bytes('new'),
      contentType: 'text/plain',
      isText: true,
      writtenMs: START_MS + 2,
      actor: OTHER,
      expiresMs: START_MS,
    });
  });

  it('is the sum of a counter', () => {
    const entries = [
      entry(1, { kind: 'counter', total: 5, since: 1 }),
      entry(1, { kind: 'counter', total: -2, since: 1 }, { dot: { actor: OTHER, counter: 1 } }),
    ];
    expect(text(entries)).toBe('3');
    expect(plainValue(entries)).toMatchObject({ isText: true, contentType: 'text/plain' });
  });

  it('is the JSON of a set or map, as the HTTP API shows it', () => {
    const members = ['b', 'a"'].map((each, index) => entry(index + 1, { kind: 'set-member', member: bytes(each) }));
    const binary = entry(3, { kind: 'set-member', member: Uint8Array.of(0xff) });
    expect(text([...members, binary])).toBe('{"members":["a\\"","b",{"base64":"/w=="}]}');
    const field = (counter: number, name: Uint8Array, value: string): Entry =>
      entry(counter, { kind: 'map-field', field: name, hlc: hlcAt(START_MS + counter), value: bytes(value) });
    const map = [field(1, bytes('f'), 'x\0'), field(9, Uint8Array.of(0xff), 'y')];
    expect(text(map)).toBe('{"fields":{"f":"x\\u0000"},"binaryFields":[{"field":{"base64":"/w=="},"value":"y"}]}');
    expect(plainValue(map)).toMatchObject({ contentType: 'application/json', isText: true, writtenMs: START_MS + 9 });
  });

  it('is nothing where there is none', () => {
    for (const entries of [[], [entry(1, { kind: 'set' })]]) {
      expect(plainValue(entries)).toBeNull();
      expect(hasValue(entries)).toBe(false);
    }
  });

  it('follows a mark: a stamp that a wrong clock has made does not win', () => {
    const ahead = register(1, 'ahead', { hlc: hlcAt(START_MS * 2) });
    const mark = entry(2, { kind: 'mark', of: [ahead.dot], atMs: START_MS, latest: hlcAt(START_MS + 100) });
    const entries = [ahead, mark, register(3, 'true')];
    expect(text(entries)).toBe('true');
    expect(text([ahead, register(3, 'true')])).toBe('ahead');
  });

  it('has no expiry that a clock has set which had never been set itself', () => {
    expect(plainValue([register(1, 'x', { hlc: hlcAt(5000), expiresAtMs: 9000 })])?.expiresMs).toBeNull();
    expect(plainValue([register(1, 'x', { expiresAtMs: 9000 })])?.expiresMs).toBe(9000);
  });
});

describe('a value', () => {
  it.each([
    ['text/plain', 'grün', true],
    ['text/plain; charset=utf-8', 'x', true],
    ['TEXT/CSV', 'x', true],
    ['application/json', '{}', true],
    ['application/x-www-form-urlencoded', '71.5', true],
    ['image/svg+xml', '<svg/>', true],
    ['application/ld+json', '{}', true],
    ['application/octet-stream', 'x', false],
    ['', 'x', false],
    ['text/plain', 'with\0null', false],
  ])('of the type %j, %j, is text: %s', (contentType, value, expected) => {
    expect(plainValue([typed(bytes(value), contentType)])?.isText).toBe(expected);
  });

  it('is no text where it is no UTF-8', () => {
    expect(plainValue([typed(Uint8Array.of(0xc3, 0x28), 'text/plain')])?.isText).toBe(false);
  });
});
