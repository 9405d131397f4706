import type { Prng } from '../../src/lib/prng.ts';
import type { Mutation } from '../../src/protocol/causal/mutation.ts';
import type { ClientReply } from '../../src/protocol/replication/request.ts';
import type { History } from './history.ts';

const encoder = new TextEncoder();
const KEYS = 3;
/** The year 2096, beyond any clock of any run: the members must not go with it. */
const FAR_MS = 4_000_000_000_000;

/** Takes the reply; returns what is to be done when all disks that held the event are lost. */
type Use = (reply: ClientReply) => (() => void) | undefined;

/** Clients of a few sets and maps, which all fight over: members and fields come, come again and go. */
export class CollectionClients {
  private readonly history: History;
  private readonly prng: Prng;
  private readonly mutate: (key: string, mutation: Mutation, use: Use) => void;
  private next = 0;

  constructor(history: History, prng: Prng, mutate: (key: string, mutation: Mutation, use: Use) => void) {
    this.history = history;
    this.prng = prng;
    this.mutate = mutate;
  }

  step(): void {
    const draw = this.prng.float();
    const isSet = this.prng.float() < 0.5;
    const key = `${isSet ? 'set' : 'map'}/${this.prng.below(KEYS)}`;
    if (draw < 0.45) this.add(key, isSet, this.fresh());
    else if (draw < 0.6) this.add(key, isSet, this.some(key));
    else if (draw < 0.85) this.remove(key, isSet, this.some(key));
    else if (draw < 0.95) this.increment();
    else this.expire(key);
  }

  private add(key: string, isSet: boolean, names: readonly string[]): void {
    if (names.length === 0) return;
    const value = `v${this.next++}`;
    const parts = names.map((name) => encoder.encode(name));
    const mutation: Mutation = isSet
      ? { type: 'add', members: parts }
      : { type: 'put-fields', fields: parts.map((field) => ({ field, value: encoder.encode(value) })), onlyIf: null };
    this.mutate(key, mutation, this.history.collections.begin(key, names, value));
  }

  private remove(key: string, isSet: boolean, names: readonly string[]): void {
    if (names.length === 0) return;
    const parts = names.map((name) => encoder.encode(name));
    const mutation: Mutation = isSet ? { type: 'remove', members: parts } : { type: 'remove-fields', fields: parts };
    this.mutate(key, mutation, this.history.collections.begin(key, names));
  }

  private increment(): void {
    const key = `map/${this.prng.below(KEYS)}`;
    const counters = this.history.fieldCounters;
    const counter = counters.get(key) ?? { acknowledged: 0, unknown: 0 };
    counters.set(key, counter);
    const by = 1 + this.prng.below(5);
    counter.unknown += by;
    this.mutate(key, { type: 'increment-field', field: encoder.encode('count'), by }, (reply) => {
      if (reply.type === 'mutate') counter.acknowledged += by;
      if (reply.type === 'mutate' || (reply.type === 'failed' && reply.failure.stateChanged === 'no')) {
        counter.unknown -= by;
      }
      return () => {
        counter.acknowledged -= by;
        counter.unknown += by;
      };
    });
  }

  /** Must neither bring back nor take away any member. */
  private expire(key: string): void {
    const expiresAtMs = this.prng.float() < 0.5 ? 0 : FAR_MS + this.next++;
    this.mutate(key, { type: 'expire', expiresAtMs }, () => undefined);
  }

  private fresh(): string[] {
    return Array.from({ length: 1 + this.prng.below(3) }, () => `p${this.next++}`);
  }

  /** Some that a client has heard of, the youngest more often. */
  private some(key: string): string[] {
    const known = this.history.collections.known(key).filter(({ isDoubtful }) => !isDoubtful);
    const names = Array.from({ length: 1 + this.prng.below(3) }, () => this.prng.pick(known.slice(-12))?.name);
    return [...new Set(names)].filter((name) => name !== undefined);
  }
}
