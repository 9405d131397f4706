import { request } from 'node:http';

export interface SseEvent {
  readonly id: string;
  readonly event: string;
  readonly data: string;
}

/** Follows a stream of Server-Sent Events and keeps what arrives. */
export class SseClient {
  readonly events: SseEvent[] = [];
  private readonly outgoing;

  private constructor(url: string, opened: () => void, failed: (error: Error) => void) {
    let text = '';
    this.outgoing = request(url, { headers: { accept: 'text/event-stream' } }, (incoming) => {
      if (incoming.statusCode !== 200) {
        failed(new Error(`${url}: ${incoming.statusCode}`));
        return;
      }
      opened();
      incoming.setEncoding('utf8');
      incoming.on('data', (chunk: string) => {
        const blocks = (text + chunk).split('\n\n');
        text = blocks.pop() ?? '';
        for (const block of blocks) this.take(block);
      });
      incoming.on('error', () => {});
    });
    this.outgoing.on('error', failed);
    this.outgoing.end();
  }

  /** Resolves once the server has accepted the stream. */
  static open(url: string): Promise<SseClient> {
    return new Promise((resolve, reject) => {
      const client: SseClient = new SseClient(url, () => resolve(client), reject);
    });
  }

  close(): void {
    this.outgoing.destroy();
  }

  private take(block: string): void {
    const fields = new Map<string, string>();
    for (const line of block.split('\n')) {
      const match = /^(\w+): ?(.*)$/.exec(line);
      if (match !== null) fields.set(match[1] as string, match[2] as string);
    }
    const data = fields.get('data');
    if (data !== undefined)
      this.events.push({ id: fields.get('id') ?? '', event: fields.get('event') ?? 'message', data });
  }
}
