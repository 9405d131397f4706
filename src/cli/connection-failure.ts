import { type ApiTarget, NODE_API } from './api-target.ts';

export interface ConnectionFailure {
  /** `<cause> — <fix>` */
  readonly text: string;
  /** A request may have reached the node before. */
  readonly mayHaveArrived: boolean;
}

function notHttp({ noun, command, port }: ApiTarget): string {
  return `--api takes the address of a ${noun}'s HTTP API (\`${command} --http\`, port ${port}), not of its other listeners`;
}

/** What to tell a person about a request to `origin` that got no answer. */
export function connectionFailure(
  origin: string,
  timeoutMs: number,
  error: unknown,
  target: ApiTarget = NODE_API,
): ConnectionFailure {
  if (error instanceof Error && error.name === 'TimeoutError') return noAnswer(origin, timeoutMs);
  const code = codeOf(error) ?? '';
  switch (code) {
    case 'ECONNREFUSED':
      return never(
        `nothing answers at ${origin}`,
        `start a ${target.noun} with \`${target.command}\`, or name another address with --api`,
      );
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return never(`the host of ${origin} is not known`, 'correct --api or HOLDFAST_API');
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return never(`no way leads to ${origin}`, 'check the network, and the address in --api or HOLDFAST_API');
    case 'ETIMEDOUT':
    case 'UND_ERR_CONNECT_TIMEOUT':
      return never(`no connection to ${origin} came about`, 'check the network, firewalls, and the address in --api');
    case 'UND_ERR_HEADERS_TIMEOUT':
    case 'UND_ERR_BODY_TIMEOUT':
      return noAnswer(origin, timeoutMs);
    case 'ECONNRESET':
    case 'EPIPE':
    case 'UND_ERR_SOCKET':
      return {
        text: `the connection to ${origin} was closed before the answer was complete — see whether the ${target.noun} still runs; ${notHttp(target)}`,
        mayHaveArrived: true,
      };
    default:
      if (code.startsWith('HPE_') || reasonOf(error).includes('HTTP/1.1 protocol'))
        return never(`what answers at ${origin} is not HTTP`, notHttp(target));
      if (/^(EPROTO|ERR_(SSL|TLS)_|CERT_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO)/.test(code)) {
        return never(
          `no TLS with ${origin} (${code})`,
          'use http:// in --api, or the certificate of the proxy before it',
        );
      }
      // Ports of other protocols: https://fetch.spec.whatwg.org/#port-blocking
      if (reasonOf(error) === 'bad port') return never(`HTTP clients refuse the port of ${origin}`, notHttp(target));
      return {
        text: `no connection to ${origin} (${reasonOf(error)}) — check --api, and that the ${target.noun} runs`,
        mayHaveArrived: true,
      };
  }
}

function never(cause: string, fix: string): ConnectionFailure {
  return { text: `${cause} — ${fix}`, mayHaveArrived: false };
}

function noAnswer(origin: string, timeoutMs: number): ConnectionFailure {
  const fix = 'see whether the node is overloaded, or name another with --api';
  return {
    text: `no answer from ${origin} within ${Math.ceil(timeoutMs / 100) / 10} s — ${fix}`,
    mayHaveArrived: true,
  };
}

/** `fetch failed` alone says nothing: its cause does. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return codeOf(error) ?? (error.cause instanceof Error ? error.cause.message : error.message);
}

/** The system's error code, also inside what fetch wraps around it and around several addresses of one host. */
function codeOf(error: unknown, depth = 0): string | undefined {
  if (typeof error !== 'object' || error === null || depth > 3) return undefined;
  const { code, cause, errors } = error as { code?: unknown; cause?: unknown; errors?: unknown };
  if (typeof code === 'string') return code;
  const first = Array.isArray(errors) ? codeOf(errors[0], depth + 1) : undefined;
  return first ?? codeOf(cause, depth + 1);
}
