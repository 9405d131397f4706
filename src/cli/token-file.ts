import { open, readFile, rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import { SiteToken } from '../lib/site-token.ts';
import { CliError } from './errors.ts';
import { printable } from './text.ts';

/** A file that is to hold the token of a site, and its owner alone may read. */
export class TokenFile {
  /** As it was given. */
  readonly name: string;
  private readonly path: string;

  constructor(name: string, cwd: string) {
    this.name = name;
    this.path = resolve(cwd, name);
  }

  /** The site whose token it holds; null: there is no such file. */
  async site(): Promise<string | null> {
    const text = await readFile(this.path, 'utf8').catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw this.failure(error);
    });
    if (text === null) return null;
    const token = SiteToken.parse(text.trim());
    if (token instanceof SiteToken) return token.site;
    throw new CliError(`${printable(this.name)} is there and holds no token (${token.problem}) — name another file`);
  }

  /** Fails where the file exists, before anything else is done. Without a token there is no file afterwards. */
  async fill(token: () => Promise<string>): Promise<void> {
    const file = await open(this.path, 'wx', 0o600).catch((error: unknown) => {
      throw this.failure(error);
    });
    try {
      await file.writeFile(`${await token()}\n`);
      await file.sync();
    } catch (error) {
      await rm(this.path, { force: true });
      throw error instanceof CliError ? error : this.failure(error);
    } finally {
      await file.close();
    }
  }

  private failure(error: unknown): CliError {
    const { message } = error as Error;
    return new CliError(`${printable(this.name)}: ${printable(message)} — name a file that can be written`);
  }
}
