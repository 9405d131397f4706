import { Agent, type IncomingHttpHeaders, request } from 'node:http';

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly text: string;
}

export interface HttpRequestOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  readonly timeoutMs?: number;
}

/** Above every limit that a node sets itself, so that a silent node is the test's failure and not a retry. */
const TIMEOUT_MS = 20_000;

/** A client of one node's HTTP API over kept connections. Rejects when no whole answer arrives. */
export class HttpClient {
  readonly base: string;
  private readonly agent: Agent;

  constructor(base: string, connectionsMax = 64) {
    this.base = base;
    this.agent = new Agent({ keepAlive: true, maxSockets: connectionsMax });
  }

  send(method: string, path: string, options: HttpRequestOptions = {}): Promise<HttpAnswer> {
    const { headers = {}, body, timeoutMs = TIMEOUT_MS } = options;
    const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
    return new Promise((resolve, reject) => {
      const outgoing = request(
        `${this.base}${path}`,
        { method, agent: this.agent, headers: { ...headers, ...length }, timeout: timeoutMs },
        (incoming) => {
          const chunks: Buffer[] = [];
          incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
          incoming.on('error', reject);
          incoming.on('end', () => {
            const whole = Buffer.concat(chunks);
            resolve({
              status: incoming.statusCode ?? 0,
              headers: incoming.headers,
              body: whole,
              get text() {
                return whole.toString('utf8');
              },
            });
          });
        },
      );
      outgoing.on('timeout', () => outgoing.destroy(new Error(`${method} ${path}: no answer in ${timeoutMs} ms`)));
      outgoing.on('error', reject);
      outgoing.end(body);
    });
  }

  /** The JSON body of a GET that succeeds. */
  async json<T>(path: string): Promise<T> {
    const answer = await this.send('GET', path);
    if (answer.status !== 200) throw new Error(`GET ${path}: ${answer.status} ${answer.text}`);
    return JSON.parse(answer.text) as T;
  }

  /** The sum over all label sets of one metric, or of those whose labels contain `labels`; 0 when there is none. */
  async metric(name: string, labels = ''): Promise<number> {
    const { text } = await this.send('GET', '/metrics');
    let sum = 0;
    for (const line of text.split('\n')) {
      const match = /^([a-zA-Z_:][\w:]*)(\{[^}]*\})? (\S+)/.exec(line);
      if (match?.[1] === name && (match[2] ?? '').includes(labels)) sum += Number(match[3]);
    }
    return sum;
  }

  close(): void {
    this.agent.destroy();
  }
}
