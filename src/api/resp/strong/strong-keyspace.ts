import { setTimeout as sleep } from 'node:timers/promises';
import { failure, HoldfastError } from '../../../lib/failure.ts';
import {
  type Ballot,
  type Condition,
  type NodeHandle,
  type RegisterContent,
  sameBallot,
} from '../../../ports/node-handle.ts';
import { type KeyJob, KeyLocks } from '../key-locks.ts';
import type { Reply } from '../reply.ts';
import { type Content, type Step, unexpired } from './step.ts';

const BUCKET = 'strong';

/** How often a change is tried upon ever newer content before its client is told to come again. */
const ATTEMPTS_MAX = 24;
/** So many in a row, as the answer that refuses one has the newer content; later ones let others pass first. */
const ATTEMPTS_AT_ONCE = 4;
const PAUSE_MAX_MS = 32;
/** As long as the node gives a request: nobody waits for a key that cannot be changed for as long as all before him. */
const TURN_WAIT_MS = 2000;

/** Content and version of a key as last seen. */
interface Seen {
  readonly content: Content;
  readonly version: Ballot | null;
}

interface Turn extends KeyJob {
  start(): void;
}

/** Bucket `strong` as database 1: every key is linearizable by itself. */
export class StrongKeyspace {
  private readonly node: NodeHandle;
  /**
   * Changes of one key by clients of this node take turns: they would only make each other's attempts fail. Those of
   * other nodes are met by the conditions of the writes.
   */
  private readonly turns = new KeyLocks<Turn>();

  constructor(node: NodeHandle) {
    this.node = node;
  }

  async read(key: string): Promise<Seen> {
    const { content, version } = await this.node.request({ type: 'strong-get', bucket: BUCKET, key });
    return { content, version };
  }

  /** In one request; false where the condition did not hold. */
  async put(key: string, content: RegisterContent, type: 'none' | 'absent' | 'present'): Promise<boolean> {
    const condition = { type };
    const { applied } = await this.node.request({ type: 'strong-put', bucket: BUCKET, key, content, condition });
    return applied;
  }

  /** In one request; false where there was nothing. */
  async delete(key: string): Promise<boolean> {
    const condition = { type: 'none' } as const;
    const { version } = await this.node.request({ type: 'strong-delete', bucket: BUCKET, key, condition });
    return version !== null;
  }

  /** The reply of a step that only looks. */
  async look(key: string, step: Step): Promise<Reply> {
    const { content } = await this.read(key);
    return step(content, this.node.wallMs()).reply;
  }

  /** Takes a step upon the latest content: reads, and writes what comes of it if the key is still as it was read. */
  async change(key: string, step: Step): Promise<Reply> {
    const turn = await this.take(key);
    try {
      return await this.changeInTurn(key, step);
    } finally {
      for (const next of this.turns.release(turn)) next.start();
    }
  }

  /** Takes a step upon this version; null where the key has another one by now. Null as version: it is absent. */
  async changeFrom(key: string, version: Ballot | null, step: Step): Promise<Reply> {
    const seen = await this.read(key);
    if (!sameBallot(seen.version, version)) return null;
    const { reply, content } = this.run(step, seen);
    return (await this.replace(key, seen, content)) === null ? reply : null;
  }

  private async changeInTurn(key: string, step: Step): Promise<Reply> {
    let seen = await this.read(key);
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      const { reply, content } = this.run(step, seen);
      const newer = await this.replace(key, seen, content);
      if (newer === null) return reply;
      seen = newer;
      if (attempt < ATTEMPTS_AT_ONCE) continue;
      // By chance, so that two that meet do not meet again.
      await sleep(Math.random() * PAUSE_MAX_MS);
      seen = await this.read(key);
    }
    const message = `others have changed the key each time in ${ATTEMPTS_MAX} attempts; nothing was changed, retry`;
    throw new HoldfastError(failure('too-many-requests', message));
  }

  private run(step: Step, { content }: Seen) {
    const wallMs = this.node.wallMs();
    const outcome = step(content, wallMs);
    return outcome.content === content ? outcome : { ...outcome, content: unexpired(outcome.content, wallMs) };
  }

  /** Null once it is written, or where nothing is to be; otherwise what the key holds instead of what was seen. */
  private async replace(key: string, seen: Seen, content: Content): Promise<Seen | null> {
    if (content === seen.content) return null;
    const condition: Condition =
      seen.version === null ? { type: 'absent' } : { type: 'version', version: seen.version };
    const target = { bucket: BUCKET, key, condition };
    const reply =
      content === null
        ? await this.node.request({ type: 'strong-delete', ...target })
        : await this.node.request({ type: 'strong-put', ...target, content });
    return reply.applied ? null : { content: reply.content, version: reply.version };
  }

  private async take(key: string): Promise<Turn> {
    const turn: Turn = { keys: [key], access: 'write', blockers: 0, start: () => {} };
    if (this.turns.acquire(turn)) return turn;
    const sinceMs = performance.now();
    await new Promise<void>((resolve) => {
      turn.start = resolve;
    });
    if (performance.now() - sinceMs <= TURN_WAIT_MS) return turn;
    for (const next of this.turns.release(turn)) next.start();
    const message = 'earlier changes of this key took all the time; nothing was changed, retry with backoff';
    throw new HoldfastError(failure('too-many-requests', message));
  }
}
