import { Prng } from '../../src/lib/prng.ts';
import type { Condition, Outcome, RegisterOp, RegisterOperation, Shown } from '../simulation/register-operation.ts';

export interface RegisterLoad {
  readonly seed: number;
  readonly operations: number;
  readonly clients: number;
  /** Of how many operations the outcome is never learnt; half of them take effect, some long after. */
  readonly unknownShare: number;
  /** How many values there are; null: each put has its own. */
  readonly values: number | null;
  /** How many puts expire. */
  readonly expiringShare?: number;
  /** How far clocks are off when it comes to an expiry. */
  readonly expiryUncertaintyMs?: number;
}

/** The longest way to the register, and from it. */
const DELAY_MAX_MS = 10;
const PAUSE_MAX_MS = 5;
const LATE_MAX_MS = 500;
const LIFE_MAX_MS = 200;

interface Happening {
  readonly atMs: number;
  readonly run: () => void;
}

/** What clients see of a register that really is atomic, with delays; the same for the same load. */
export function atomicHistory(load: RegisterLoad): RegisterOperation[] {
  const prng = new Prng(load.seed);
  const happenings: Happening[] = [];
  const history: RegisterOperation[] = [];
  const register = new AtomicRegister(prng, load.expiryUncertaintyMs ?? 0);
  const at = (atMs: number, run: () => void): void => {
    const place = happenings.findLastIndex((other) => other.atMs <= atMs);
    happenings.splice(place + 1, 0, { atMs, run });
  };
  let count = 0;
  const invoke = (client: string, invokedMs: number, seen: string | null): void => {
    if (count === load.operations) return;
    const id = ++count;
    const op = pickOp(prng, load, id, invokedMs, seen);
    const isUnknown = prng.chance(load.unknownShare);
    const effectMs = invokedMs + prng.below(isUnknown && prng.chance(0.3) ? LATE_MAX_MS : DELAY_MAX_MS);
    const completedMs = effectMs + prng.below(DELAY_MAX_MS);
    if (isUnknown) {
      history.push({ id, client, invokedMs, completedMs: null, op, outcome: 'unknown' });
      if (prng.chance(0.5)) at(effectMs, () => register.take(op, effectMs));
      at(invokedMs + 2 * DELAY_MAX_MS, () => invoke(client, invokedMs + 2 * DELAY_MAX_MS, seen));
      return;
    }
    at(effectMs, () => {
      const outcome = register.take(op, effectMs);
      history.push({ id, client, invokedMs, completedMs, op, outcome });
      const next = outcome !== 'unknown' && 'version' in outcome ? outcome.version : null;
      const pauseMs = prng.below(PAUSE_MAX_MS);
      at(completedMs + pauseMs, () => invoke(client, completedMs + pauseMs, next));
    });
  };
  for (let client = 0; client < load.clients; client++) at(0, () => invoke(`c${client}`, 0, null));
  for (let next = happenings.shift(); next !== undefined; next = happenings.shift()) next.run();
  return history.sort((a, b) => a.id - b.id);
}

function pickOp(prng: Prng, load: RegisterLoad, id: number, nowMs: number, seen: string | null): RegisterOp {
  if (prng.chance(0.5)) return { type: 'get' };
  const conditions: Condition[] = ['none', 'none', 'absent', 'present'];
  if (seen !== null) conditions.push({ version: seen }, { version: seen });
  const condition = prng.pick(conditions) ?? 'none';
  if (prng.chance(0.2)) return { type: 'delete', condition };
  const expires = prng.chance(load.expiringShare ?? 0);
  return {
    type: 'put',
    value: `x${load.values === null ? id : prng.below(load.values)}`,
    condition,
    expiresAtMs: expires ? nowMs + prng.below(LIFE_MAX_MS) : null,
  };
}

class AtomicRegister {
  private readonly prng: Prng;
  private readonly uncertaintyMs: number;
  private state: Shown & { readonly expiresAtMs: number } = { value: null, version: null, expiresAtMs: 0 };
  private writes = 0;

  constructor(prng: Prng, uncertaintyMs: number) {
    this.prng = prng;
    this.uncertaintyMs = uncertaintyMs;
  }

  take(op: RegisterOp, atMs: number): Outcome {
    const errorMs = this.prng.below(2 * this.uncertaintyMs + 1) - this.uncertaintyMs;
    const { value, version } = this.state;
    const isThere = value !== null && atMs + errorMs < this.state.expiresAtMs;
    const shown: Shown = isThere ? { value, version } : { value: null, version: null };
    if (op.type === 'get') return { type: 'read', ...shown };
    if (!holds(op.condition, shown)) return { type: 'condition-failed', ...shown };
    const made = `v${++this.writes}`;
    const isPut = op.type === 'put';
    const expiresAtMs = (isPut ? op.expiresAtMs : null) ?? Number.POSITIVE_INFINITY;
    this.state = { value: isPut ? op.value : null, version: made, expiresAtMs };
    return { type: 'written', version: made };
  }
}

function holds(condition: Condition, { value, version }: Shown): boolean {
  if (condition === 'none') return true;
  if (condition === 'absent') return value === null;
  return value !== null && (condition === 'present' || condition.version === version);
}
