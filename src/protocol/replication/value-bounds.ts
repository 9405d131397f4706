import { type Failure, failure } from '../../lib/failure.ts';
import { COLLECTION_ENTRIES_MAX, type Entries, VALUE_BYTES_MAX } from '../causal/entry.ts';

/** Concurrent values of one key, and their bytes: what goes beyond could not be sent to a reader in one piece. */
const SIBLINGS_MAX = 128;
const SIBLING_BYTES_MAX = VALUE_BYTES_MAX + VALUE_BYTES_MAX / 2;
/** Running totals of a counter: one for each actor, and for each run of it until all members have confirmed its events. */
const TOTALS_MAX = COLLECTION_ENTRIES_MAX;

/** Concurrent writes may take a key over the limit: what does not add to it goes on. */
export function tooManyValues(before: Entries, after: Entries): Failure | null {
  const { registers, totals, bytes } = valuesOf(after);
  const isMany = registers > 1 && (registers > SIBLINGS_MAX || bytes > SIBLING_BYTES_MAX);
  if (!isMany && totals <= TOTALS_MAX) return null;
  const were = valuesOf(before);
  if (registers <= were.registers && totals <= were.totals && bytes <= were.bytes) return null;
  const values = registers + totals;
  const message = `the key would hold ${values} concurrent values of ${bytes} bytes; read it, and write with the context that came with it`;
  return failure('value-too-large', message, { data: { values, bytes } });
}

/** Sets and maps have bounds of their own. */
function valuesOf(entries: Entries): { registers: number; totals: number; bytes: number } {
  const values = { registers: 0, totals: 0, bytes: 0 };
  for (const { payload } of entries) {
    if (payload.kind === 'counter') values.totals++;
    if (payload.kind !== 'register') continue;
    values.registers++;
    values.bytes += payload.value.length;
  }
  return values;
}
