import type { HoldfastNode } from './holdfast.ts';

export interface Sent {
  readonly messages: number;
  /** Before encryption. */
  readonly bytes: number;
}

/** Messages by type. */
type Traffic = ReadonlyMap<string, Sent>;

/** What these nodes have sent since they run, all together, of the messages whose types begin so. */
export async function traffic(nodes: readonly Pick<HoldfastNode, 'url'>[], prefix: string): Promise<Traffic> {
  const all = new Map<string, { messages: number; bytes: number }>();
  const line = /^holdfast_message(s|_bytes)_sent_total\{message="([a-z-]+)"\} (\d+)$/gm;
  for (const node of nodes) {
    for (const [, what, type = '', value] of (await metrics(node)).matchAll(line)) {
      if (!type.startsWith(prefix)) continue;
      const sent = all.get(type) ?? { messages: 0, bytes: 0 };
      if (what === 's') sent.messages += Number(value);
      else sent.bytes += Number(value);
      all.set(type, sent);
    }
  }
  return all;
}

/** What was sent in between; types of which nothing was are left out. */
export function difference(before: Traffic, after: Traffic): Map<string, Sent> {
  const spent = new Map<string, Sent>();
  for (const [type, { messages, bytes }] of after) {
    const from = before.get(type) ?? { messages: 0, bytes: 0 };
    if (messages > from.messages) {
      spent.set(type, { messages: messages - from.messages, bytes: bytes - from.bytes });
    }
  }
  return spent;
}

export async function metrics({ url }: Pick<HoldfastNode, 'url'>): Promise<string> {
  return await (await fetch(`${url}/metrics`)).text();
}
