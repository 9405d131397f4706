import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SiteToken } from '../../../src/lib/site-token.ts';

const SECRET = '0123456789abcdef'.repeat(4);
const site = fc.stringMatching(/^[a-z0-9][a-z0-9._-]{0,62}$/);
const secret = fc.stringMatching(/^[0-9a-f]{64}$/);

describe('SiteToken', () => {
  it('reads what it has written, whatever dots the name has', () => {
    fc.assert(
      fc.property(site, secret, (name, digits) => {
        const token = SiteToken.parse(SiteToken.of(name, digits).reveal());
        expect(token).toBeInstanceOf(SiteToken);
        expect(token).toMatchObject({ site: name, secret: digits });
      }),
    );
    expect(SiteToken.parse(`hft1.farm.north.2.${SECRET}`)).toMatchObject({ site: 'farm.north.2', secret: SECRET });
  });

  it.each([
    ['', /begins with "hft1\."/],
    [`hft2.farm.${SECRET}`, /begins with "hft1\."/],
    ['hft1.', /0 characters instead of 64/],
    ['hft1.farm', /4 characters instead of 64/],
    [`hft1.farm.${SECRET.slice(1)}`, /63 characters instead of 64/],
    [`hft1.farm.${SECRET}\n`, /65 characters instead of 64/],
    [`hft1.farm.${SECRET.toUpperCase()}`, /other than 0-9 and a-f/],
    [`hft1..${SECRET}`, /the site's name/],
    [`hft1.${SECRET}`, /the site's name/],
    [`hft1.Farm.${SECRET}`, /the site's name/],
    [`hft1.-farm.${SECRET}`, /the site's name/],
    [`hft1.${'a'.repeat(64)}.${SECRET}`, /the site's name/],
  ])('says what is wrong with %j', (text, problem) => {
    expect(SiteToken.parse(text)).toEqual({ problem: expect.stringMatching(problem) });
  });

  it('says nothing of the text that may be secret', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          site.map((name) => `hft1.${name}.${SECRET}x`),
        ),
        (text) => {
          const parsed = SiteToken.parse(text);
          expect(JSON.stringify(parsed)).not.toContain(SECRET.slice(0, 8));
        },
      ),
    );
  });

  it('shows its secret to nobody who does not ask', () => {
    const token = SiteToken.of('farm', SECRET);
    const shown = [`${token}`, JSON.stringify({ token }), inspect(token), inspect({ token }, { showHidden: true })];
    for (const text of shown) {
      expect(text).toContain('hft1.farm.[redacted]');
      expect(text).not.toContain(SECRET);
    }
  });

  it('is not made of a name or secret that it could not be parsed from', () => {
    expect(() => SiteToken.of('Farm', SECRET)).toThrow(/name/);
    expect(() => SiteToken.of('farm', SECRET.slice(1))).toThrow(/64/);
  });
});
