import { CausalContext } from './context.ts';
import type { Dot } from './dot.ts';
import { nameId, type ObjectName } from './name.ts';

/** A key, and events of it. */
export interface KeyEvents<N extends ObjectName = ObjectName> {
  readonly name: N;
  readonly events: CausalContext;
}

/** Puts an event with the others of its key; keys are found by `nameId`. */
export function noteEvent<N extends ObjectName>(keys: Map<string, KeyEvents<N>>, name: N, event: Dot): void {
  const id = nameId(name);
  const known = keys.get(id);
  if (known === undefined) keys.set(id, { name, events: CausalContext.fromDots([event]) });
  else known.events.add(event);
}
