import type { HubNews, HubReply, HubSession } from '../../ports/hub-link.ts';
import { HUB_FRAME_BYTES_MAX } from '../../ports/hub-link.ts';
import type { Log } from '../../ports/log.ts';
import { DecodeError } from '../../wire/codec.ts';
import { type DecodedHubRequest, decodeHubRequest, encodeHubNews, encodeHubReply } from '../../wire/hub-message.ts';
import type { HubChannel, Traffic } from './hub-channel.ts';

/** Requests of one session that wait for their answers, and bytes of them; no more are read until some are answered. */
const REQUESTS_MAX = 16;
const REQUEST_BYTES_MAX = 8 * 1024 * 1024;
/** Answers that wait for the site; no more requests are read until it takes some. */
const QUEUE_BYTES_ENOUGH = 1024 * 1024;
/** Beyond this the site does not read at all. */
const QUEUE_BYTES_MAX = 32 * 1024 * 1024;

export interface SiteSessionOptions {
  readonly site: string;
  readonly peer: string;
  readonly siteKey: Uint8Array;
  readonly channel: HubChannel;
  readonly log: Log;
  readonly handleRequest: (session: SiteSession, request: DecodedHubRequest & { readonly problem: null }) => void;
  /** Once, however the session ends, and never inside a call of this session's methods. */
  readonly handleClosed: (session: SiteSession, reason: string) => void;
}

/** The hub's end of one session. Requests are read no faster than they are answered. */
export class SiteSession implements HubSession {
  readonly site: string;
  readonly peer: string;
  readonly siteKey: Uint8Array;
  private readonly options: SiteSessionOptions;
  private readonly channel: HubChannel;
  /** Bytes of the requests without an answer, by their ids. */
  private readonly unanswered = new Map<number, number>();
  private unansweredBytes = 0;
  private closed = false;

  constructor(options: SiteSessionOptions) {
    this.options = options;
    this.site = options.site;
    this.peer = options.peer;
    this.siteKey = options.siteKey;
    this.channel = options.channel;
  }

  reply(id: number, reply: HubReply): void {
    if (this.closed) return;
    const bytes = this.unanswered.get(id) ?? 0;
    this.unanswered.delete(id);
    this.unansweredBytes -= bytes;
    this.send(this.encoded(id, reply));
    this.regulate();
  }

  tell(news: HubNews): void {
    if (!this.closed) this.send(encodeHubNews(news));
  }

  close(reason: string): void {
    if (this.closed) return;
    this.channel.close(reason);
    this.end(reason);
  }

  traffic(): Traffic {
    return { ...this.channel.traffic };
  }

  /** A frame of the site, decompressed. */
  handleBody(body: Uint8Array): void {
    if (this.closed) return;
    let decoded: DecodedHubRequest;
    try {
      decoded = decodeHubRequest(body);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.close(`a request cannot be read: ${error.message}`);
      return;
    }
    if (decoded.problem !== null) {
      const detail = `this version of the hub cannot read the request (${decoded.problem}); update the older of the two`;
      this.send(encodeHubReply(decoded.id, { type: 'hub-refused', code: 'bad-request', detail }));
      this.regulate();
      return;
    }
    this.unansweredBytes += body.byteLength - (this.unanswered.get(decoded.id) ?? 0);
    this.unanswered.set(decoded.id, body.byteLength);
    this.regulate();
    this.options.handleRequest(this, decoded);
  }

  handleDrained(): void {
    this.regulate();
  }

  /** The channel has closed. */
  end(reason: string): void {
    if (this.closed) return;
    this.closed = true;
    queueMicrotask(() => this.options.handleClosed(this, reason));
  }

  private encoded(id: number, reply: HubReply): Uint8Array {
    const frame = encodeHubReply(id, reply);
    if (frame.byteLength <= HUB_FRAME_BYTES_MAX) return frame;
    const detail = `the answer has ${frame.byteLength} bytes, and no frame holds more than ${HUB_FRAME_BYTES_MAX}`;
    this.options.log.error('an answer to a site is too large and was refused instead; ask for less at a time', {
      site: this.site,
      type: reply.type,
      bytes: frame.byteLength,
    });
    return encodeHubReply(id, { type: 'hub-refused', code: 'bad-request', detail });
  }

  private send(frame: Uint8Array): void {
    if (this.channel.queuedBytes > QUEUE_BYTES_MAX) this.close('the site does not take what it is sent');
    else this.channel.send(frame);
  }

  private regulate(): void {
    const isBusy =
      this.unanswered.size >= REQUESTS_MAX ||
      this.unansweredBytes >= REQUEST_BYTES_MAX ||
      this.channel.queuedBytes >= QUEUE_BYTES_ENOUGH;
    if (isBusy) this.channel.hold();
    else this.channel.release();
  }
}
