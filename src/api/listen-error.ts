import { endpointText } from './endpoint.ts';

export type ListenErrorCode = 'address-in-use' | 'address-not-available' | 'permission';

/** A listener could not be opened. The message is one line that names the cause and the fix. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
  readonly code: ListenErrorCode;

  constructor(code: ListenErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/**
 * Explains why `listen` failed; errors of other kinds are returned as they are.
 * `what` names the listener for people ("HTTP API"), `flag` the option that moves it ("--http").
 */
export function listenErrorOf(error: unknown, what: string, flag: string, host: string, port: number): unknown {
  const place = endpointText(host, port);
  switch (error instanceof Error && 'code' in error ? error.code : undefined) {
    case 'EADDRINUSE':
      return new ListenError(
        'address-in-use',
        `cannot open the ${what} on ${place}: another process uses this port; stop it or choose another with ${flag} HOST:PORT`,
        { cause: error },
      );
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'EAFNOSUPPORT':
      return new ListenError(
        'address-not-available',
        `cannot open the ${what} on ${place}: this machine has no such address; choose one of its own with ${flag} HOST:PORT`,
        { cause: error },
      );
    case 'EACCES':
    case 'EPERM':
      return new ListenError(
        'permission',
        `cannot open the ${what} on ${place}: permission denied; choose a port above 1023 with ${flag} HOST:PORT`,
        { cause: error },
      );
    default:
      return error;
  }
}
