import { SITE_NAME, SITE_NAME_EXPECTED } from './site-name.ts';

const PREFIX = 'hft1.';
const SECRET = /^[0-9a-f]{64}$/;
const SECRET_DIGITS = 64;

/**
 * What a hub gives to a site: `hft1.<site>.<secret>`, the secret 32 bytes as lower-case hexadecimal digits. Printing,
 * logging or serialising it hides the secret; only `reveal` and `secret` give it away.
 */
export class SiteToken {
  readonly site: string;
  readonly #secret: string;

  private constructor(site: string, secret: string) {
    this.site = site;
    this.#secret = secret;
    Object.freeze(this);
  }

  /** Of a site whose name is valid, and 64 lower-case hexadecimal digits. */
  static of(site: string, secret: string): SiteToken {
    if (!SITE_NAME.test(site)) throw new Error(`a site's name is ${SITE_NAME_EXPECTED}`);
    if (!SECRET.test(secret)) throw new Error('the secret of a token is 64 lower-case hexadecimal digits');
    return new SiteToken(site, secret);
  }

  /** The token, or what is wrong with the text: one clause without a full stop that repeats none of it. */
  static parse(text: string): SiteToken | { readonly problem: string } {
    if (!text.startsWith(PREFIX)) return { problem: `a site token begins with "${PREFIX}"` };
    // From the right: names may have dots.
    const dot = text.lastIndexOf('.');
    const site = text.slice(PREFIX.length, Math.max(dot, PREFIX.length));
    const secret = text.slice(dot + 1);
    if (secret.length !== SECRET_DIGITS) {
      return { problem: `the secret at its end has ${secret.length} characters instead of ${SECRET_DIGITS}` };
    }
    if (!SECRET.test(secret)) return { problem: 'the secret at its end has characters other than 0-9 and a-f' };
    if (!SITE_NAME.test(site)) return { problem: `the site's name in it is not ${SITE_NAME_EXPECTED}` };
    return new SiteToken(site, secret);
  }

  /** 64 lower-case hexadecimal digits. */
  get secret(): string {
    return this.#secret;
  }

  /** The text that `parse` takes. */
  reveal(): string {
    return `${PREFIX}${this.site}.${this.#secret}`;
  }

  toString(): string {
    return `${PREFIX}${this.site}.[redacted]`;
  }

  toJSON(): string {
    return this.toString();
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }
}
