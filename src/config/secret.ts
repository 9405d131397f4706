const SECRET_TEXT = /^[0-9a-f]{64}$/;

/** The cluster secret: 32 bytes. Printing, logging or serialising it shows `[redacted]`; only `reveal` gives it away. */
export class Secret {
  readonly #hex: string;

  private constructor(hex: string) {
    this.#hex = hex;
    Object.freeze(this);
  }

  /** Undefined unless `text` is exactly 64 lower-case hexadecimal digits. */
  static parse(text: string): Secret | undefined {
    return SECRET_TEXT.test(text) ? new Secret(text) : undefined;
  }

  /** 64 lower-case hexadecimal digits. */
  reveal(): string {
    return this.#hex;
  }

  toString(): string {
    return REDACTED;
  }

  toJSON(): string {
    return REDACTED;
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return REDACTED;
  }
}

const REDACTED = '[redacted]';

/** Hides anything in a message that could be a secret, or a good part of one. */
export function redact(text: string): string {
  return text.replace(/[0-9a-fA-F]{24,}/g, REDACTED);
}

/** What is wrong with a text that is not a secret, without repeating any of it. */
export function describeBadSecret(text: string): string {
  if (text.length !== 64) return `the secret has ${text.length} characters instead of 64`;
  if (/^[0-9a-fA-F]{64}$/.test(text)) return 'the secret has upper-case digits';
  return 'the secret has characters other than 0-9 and a-f';
}
