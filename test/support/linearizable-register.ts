/** What a client of one register did, and was told. Times are virtual, in ms. */
export interface RegisterOperation {
  readonly client: string;
  readonly invokedMs: number;
  /** Infinity: it was never told. */
  returnedMs: number;
  readonly action:
    | { readonly type: 'get' }
    /** Labels are unique; null deletes. */
    | { readonly type: 'change'; readonly label: string | null; readonly condition: LabelCondition };
  outcome: Outcome;
}

export type LabelCondition =
  | { readonly type: 'none' | 'absent' | 'present' }
  | { readonly type: 'label'; readonly label: string };

export type Outcome =
  | { readonly type: 'shown'; readonly label: string | null }
  | { readonly type: 'applied' }
  | { readonly type: 'not-applied'; readonly label: string | null }
  /** It may take effect at any later time, or never. */
  | { readonly type: 'unknown' }
  /** It has had no effect and never will. */
  | { readonly type: 'failed' };

type State = string | null;

const SEARCH_MAX = 10_000;

function conditionHolds(condition: LabelCondition, state: State): boolean {
  switch (condition.type) {
    case 'none':
      return true;
    case 'absent':
      return state === null;
    case 'present':
      return state !== null;
    case 'label':
      return state === condition.label;
  }
}

/** The state after the operation, or undefined where its outcome does not agree with the state before. */
function applied({ action, outcome }: RegisterOperation, state: State): { readonly state: State } | undefined {
  if (action.type === 'get') {
    return outcome.type === 'shown' && outcome.label === state ? { state } : undefined;
  }
  const isMade = conditionHolds(action.condition, state);
  switch (outcome.type) {
    case 'applied':
      return isMade ? { state: action.label } : undefined;
    case 'not-applied':
      return !isMade && outcome.label === state ? { state } : undefined;
    case 'unknown':
      return { state: isMade ? action.label : state };
    default:
      return undefined;
  }
}

/**
 * `yes` where one order of the operations, each at some time between its call and its return, explains what every client
 * was told (Wing and Gong 1993, with the memory of Lowe 2017). Every operation without a known outcome doubles the work: where
 * there are too many, nothing is found out within `SEARCH_MAX` steps, and the answer is `undecided`.
 */
export function linearizability(history: readonly RegisterOperation[]): 'yes' | 'no' | 'undecided' {
  const operations = history
    .filter(
      ({ action, outcome }) => outcome.type !== 'failed' && !(action.type === 'get' && outcome.type === 'unknown'),
    )
    .sort((a, b) => a.invokedMs - b.invokedMs);
  const taken = operations.map(() => false);
  const seen = new Set<string>();
  const search = (state: State): boolean => {
    if (seen.size > SEARCH_MAX) return true;
    let boundMs = Number.POSITIVE_INFINITY;
    let isDone = true;
    operations.forEach((operation, i) => {
      if (taken[i] === true || operation.outcome.type === 'unknown') return;
      isDone = false;
      boundMs = Math.min(boundMs, operation.returnedMs);
    });
    if (isDone) return true;
    const key = `${taken.map((is) => (is ? '1' : '0')).join('')} ${state}`;
    if (seen.has(key)) return false;
    seen.add(key);
    for (const [i, operation] of operations.entries()) {
      if (operation.invokedMs > boundMs) break;
      if (taken[i] === true) continue;
      const next = applied(operation, state);
      if (next === undefined) continue;
      taken[i] = true;
      if (search(next.state)) return true;
      taken[i] = false;
    }
    return false;
  };
  const isFound = search(null);
  return seen.size > SEARCH_MAX ? 'undecided' : isFound ? 'yes' : 'no';
}
