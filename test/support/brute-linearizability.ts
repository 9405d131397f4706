import type { Condition, RegisterOperation, Shown } from '../simulation/register-operation.ts';

/** A write that took effect, with its version; null before the first. */
interface State {
  readonly value: string | null;
  readonly expiresAtMs: number;
  readonly version: string | null;
}

/**
 * Whether a few operations on a register are linearizable, by trying all orders of all selections of the unknown writes,
 * with all versions that these may have had.
 */
export function isLinearizable(operations: readonly RegisterOperation[], expiryUncertaintyMs: number): boolean {
  const required = operations.filter(({ outcome }) => outcome !== 'unknown' && outcome.type !== 'not-applied');
  const unknown = operations.filter(({ op, outcome }) => outcome === 'unknown' && op.type !== 'get');
  const made = new Set(required.flatMap(({ outcome }) => versionOf(outcome, 'written') ?? []));
  if (made.size < required.filter(({ outcome }) => versionOf(outcome, 'written') !== null).length) return false;
  const free = [...new Set(operations.flatMap(mentioned))].filter((version) => !made.has(version));

  const search = (left: ReadonlySet<RegisterOperation>, state: State, given: ReadonlySet<string>): boolean => {
    const due = [...left].filter((each) => each.outcome !== 'unknown');
    if (due.length === 0) return true;
    const untilMs = Math.min(...due.map(({ completedMs }) => completedMs ?? Number.POSITIVE_INFINITY));
    for (const next of left) {
      if (next.invokedMs > untilMs || due.some((other) => comesFirst(other, next, operations))) continue;
      const rest = new Set(left);
      rest.delete(next);
      const after = (version: string): State | null => take(state, next, version, untilMs, expiryUncertaintyMs);
      const version = versionOf(next.outcome, 'written');
      if (next.outcome !== 'unknown') {
        const done = after(version ?? '');
        if (done !== null && search(rest, done, given)) return true;
        continue;
      }
      for (const each of [...free, `unseen ${next.id}`]) {
        const done = given.has(each) ? null : after(each);
        if (done !== null && search(rest, done, new Set([...given, each]))) return true;
      }
    }
    return false;
  };
  const all = new Set([...required, ...unknown]);
  return search(all, { value: null, expiresAtMs: Number.POSITIVE_INFINITY, version: null }, new Set());
}

/** The same client has answered in the millisecond in which it goes on. */
function comesFirst(a: RegisterOperation, b: RegisterOperation, operations: readonly RegisterOperation[]): boolean {
  if (a === b || a.client !== b.client || a.completedMs !== b.invokedMs) return false;
  return a.invokedMs < b.invokedMs || operations.indexOf(a) < operations.indexOf(b);
}

function take(
  state: State,
  { op, outcome, invokedMs }: RegisterOperation,
  version: string,
  untilMs: number,
  uncertaintyMs: number,
): State | null {
  const { value, expiresAtMs } = state;
  const views: Shown[] = [];
  if (value !== null && invokedMs <= expiresAtMs + uncertaintyMs) views.push({ value, version: state.version });
  const isExpiring = expiresAtMs !== Number.POSITIVE_INFINITY;
  if (value === null || (isExpiring && untilMs >= expiresAtMs - uncertaintyMs))
    views.push({ value: null, version: state.version });
  const isPossible = views.some((view) => {
    if (outcome !== 'unknown' && outcome.type === 'read') return isView(outcome, view);
    if (op.type === 'get') return false;
    if (outcome === 'unknown' || outcome.type === 'written') return holds(op.condition, view);
    return outcome.type === 'condition-failed' && isView(outcome, view) && !holds(op.condition, view);
  });
  if (!isPossible) return null;
  if (op.type === 'get' || (outcome !== 'unknown' && outcome.type !== 'written')) return state;
  const isPut = op.type === 'put';
  return {
    value: isPut ? op.value : null,
    expiresAtMs: (isPut ? op.expiresAtMs : null) ?? Number.POSITIVE_INFINITY,
    version,
  };
}

function isView(shown: Shown, view: Shown): boolean {
  return shown.value === view.value && (shown.version === null || shown.version === view.version);
}

function holds(condition: Condition, { value, version }: Shown): boolean {
  if (condition === 'none') return true;
  if (condition === 'absent') return value === null;
  return value !== null && (condition === 'present' || condition.version === version);
}

function versionOf(outcome: RegisterOperation['outcome'], type: 'written'): string | null {
  return outcome !== 'unknown' && outcome.type === type ? outcome.version : null;
}

function mentioned({ op, outcome }: RegisterOperation): string[] {
  const met = op.type === 'get' || typeof op.condition === 'string' ? [] : [op.condition.version];
  const shown = outcome !== 'unknown' && 'version' in outcome && outcome.version !== null ? [outcome.version] : [];
  return [...met, ...shown];
}
