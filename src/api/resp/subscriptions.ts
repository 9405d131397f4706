import type { Publication, PubSub } from '../../ports/pub-sub.ts';
import { Glob } from './glob.ts';
import { PATTERNS_MAX, SUBSCRIPTIONS_MAX, SUBSCRIPTIONS_TOTAL_MAX } from './limits.ts';
import { PushReply } from './reply.ts';
import type { Session } from './session.ts';

interface Pattern {
  readonly bytes: Buffer;
  readonly glob: Glob;
  readonly sessions: Set<Session>;
}

interface Channel {
  readonly bytes: Buffer;
  readonly sessions: Set<Session>;
  /** Ends the node's subscription. */
  readonly end: () => void;
}

/**
 * Who listens to what, of all connections of a listener. The node is asked for a channel once, however many clients
 * want it, and for all channels while there is a pattern.
 */
export class Subscriptions {
  private readonly feed: PubSub;
  private readonly channels = new Map<string, Channel>();
  private readonly patterns = new Map<string, Pattern>();
  private endAll: (() => void) | null = null;
  private total = 0;

  constructor(feed: PubSub) {
    this.feed = feed;
  }

  get channelCount(): number {
    return this.channels.size;
  }

  get patternCount(): number {
    return this.patterns.size;
  }

  /** Channels with a subscriber, of clients here, patterns not counted. */
  activeChannels(glob: Glob | null): Buffer[] {
    return [...this.channels.values()].map(({ bytes }) => bytes).filter((bytes) => glob?.matches(bytes) !== false);
  }

  subscriberCount(channel: Buffer): number {
    return this.channels.get(nameOf(channel))?.sessions.size ?? 0;
  }

  /** False when a limit is reached. */
  addChannel(session: Session, bytes: Buffer): boolean {
    const name = nameOf(bytes);
    if (session.channels.has(name)) return true;
    if (this.isFull(session)) return false;
    let channel = this.channels.get(name);
    if (channel === undefined) {
      const sessions = new Set<Session>();
      // A copy, so that the name does not keep the chunk that it came with.
      const own = Buffer.from(bytes);
      channel = { bytes: own, sessions, end: this.feed.subscribe(own, (publication) => toAll(sessions, publication)) };
      this.channels.set(name, channel);
    }
    channel.sessions.add(session);
    session.channels.add(name);
    this.total++;
    return true;
  }

  addPattern(session: Session, bytes: Buffer): boolean {
    const name = nameOf(bytes);
    if (session.patterns.has(name)) return true;
    if (this.isFull(session)) return false;
    let pattern = this.patterns.get(name);
    if (pattern === undefined) {
      if (this.patterns.size >= PATTERNS_MAX) return false;
      const own = Buffer.from(bytes);
      pattern = { bytes: own, glob: new Glob(own), sessions: new Set() };
      this.patterns.set(name, pattern);
      this.endAll ??= this.feed.subscribe(null, (publication) => this.matchAll(publication));
    }
    pattern.sessions.add(session);
    session.patterns.add(name);
    this.total++;
    return true;
  }

  removeChannel(session: Session, bytes: Buffer): void {
    const name = nameOf(bytes);
    const channel = this.channels.get(name);
    if (channel === undefined || !session.channels.delete(name)) return;
    this.total--;
    channel.sessions.delete(session);
    if (channel.sessions.size > 0) return;
    this.channels.delete(name);
    channel.end();
  }

  removePattern(session: Session, bytes: Buffer): void {
    const name = nameOf(bytes);
    const pattern = this.patterns.get(name);
    if (pattern === undefined || !session.patterns.delete(name)) return;
    this.total--;
    pattern.sessions.delete(session);
    if (pattern.sessions.size > 0) return;
    this.patterns.delete(name);
    if (this.patterns.size > 0) return;
    this.endAll?.();
    this.endAll = null;
  }

  removeAll(session: Session): void {
    for (const name of session.channels) this.removeChannel(session, Buffer.from(name, 'latin1'));
    for (const name of session.patterns) this.removePattern(session, Buffer.from(name, 'latin1'));
  }

  private isFull({ channels, patterns }: Session): boolean {
    return channels.size + patterns.size >= SUBSCRIPTIONS_MAX || this.total >= SUBSCRIPTIONS_TOTAL_MAX;
  }

  private matchAll({ channel, message }: Publication): number {
    let receivers = 0;
    for (const { bytes, glob, sessions } of this.patterns.values()) {
      if (!glob.matches(channel)) continue;
      const push = new PushReply(['pmessage', bytes, channel, message]);
      for (const session of sessions) session.push(push);
      receivers += sessions.size;
    }
    return receivers;
  }
}

function toAll(sessions: ReadonlySet<Session>, { channel, message }: Publication): number {
  const push = new PushReply(['message', channel, message]);
  for (const session of sessions) session.push(push);
  return sessions.size;
}

function nameOf(bytes: Buffer): string {
  return bytes.toString('latin1');
}
