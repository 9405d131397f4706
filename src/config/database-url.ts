/** Where a PostgreSQL database is. Printing, logging or serialising it shows no password; only `reveal` gives it away. */
export class DatabaseUrl {
  readonly #url: string;
  readonly #shown: string;
  readonly hasPassword: boolean;

  private constructor(url: string, shown: string, hasPassword: boolean) {
    this.#url = url;
    this.#shown = shown;
    this.hasPassword = hasPassword;
    Object.freeze(this);
  }

  /** Undefined unless it is a `postgres://` URL that names a host and a database. */
  static parse(text: string): DatabaseUrl | undefined {
    if (!URL.canParse(text)) return undefined;
    const { protocol, username, password, host, pathname, search, searchParams } = new URL(text);
    if (protocol !== 'postgres:' && protocol !== 'postgresql:') return undefined;
    // The host may be the folder of a socket, as a parameter.
    if (host === '' && search === '') return undefined;
    if (!/^\/[^/]+$/.test(pathname)) return undefined;
    // Parameters may hold a password, too.
    const user = username === '' ? '' : `${username}@`;
    return new DatabaseUrl(
      text,
      `${protocol}//${user}${host}${pathname}`,
      password !== '' || searchParams.has('password'),
    );
  }

  /** The whole URL, with its password. */
  reveal(): string {
    return this.#url;
  }

  /** Without password and parameters. */
  toString(): string {
    return this.#shown;
  }

  toJSON(): string {
    return this.#shown;
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.#shown;
  }
}
