import { type Electorate, electorateBytes } from '../../../src/protocol/electorate/electorate.ts';
import { majorityOf } from '../../../src/protocol/register/placement.ts';
import type { SimNode } from '../sim-node.ts';
import type { StrongLosses } from '../strong-losses.ts';
import { type Checker, Problems } from './checker.ts';
import type { Truth } from './truth.ts';

export interface ElectorateTruth extends Checker {
  /** Two electorates were founded. */
  readonly isSplit: boolean;
}

/**
 * One electorate is founded, and each epoch of it is the same everywhere; at a node epochs never fall. Two may be founded only
 * by rings of which the majorities need not meet, as operators have changed them apart, or where disks were lost before that
 * had promised something (no disk's promise of the founding is missed yet).
 */
export function electoratesChecker(truth: Truth, losses: StrongLosses): ElectorateTruth {
  const problems = new Problems('electorates');
  const founded = new Map<string, Electorate>();
  const texts = new Map<string, string>();
  const disks = new Map(truth.nodes.map((node) => [node, node.disk]));
  const last = new Map<SimNode, { readonly actor: string; readonly founder: string; readonly epoch: number }>();
  const decoder = new TextDecoder();
  const hasLostDisks = (): boolean => truth.nodes.some((node) => disks.get(node) !== node.disk);
  let isExempt = false;

  const noteFounding = (electorate: Electorate): void => {
    const { founder } = electorate.lineage;
    if (founded.has(founder)) return;
    for (const [other, before] of founded) {
      if (hasLostDisks() || !mustMeet(before, electorate)) isExempt = true;
      else problems.add(`founded twice, by ${other} and by ${founder}, by members of whom majorities meet`);
    }
    founded.set(founder, electorate);
  };
  const note = (node: SimNode, electorate: Electorate): void => {
    const { lineage, epoch } = electorate;
    noteFounding(electorate);
    const id = `${lineage.founder} ${epoch}`;
    const text = decoder.decode(electorateBytes(electorate));
    const known = texts.get(id);
    if (known !== undefined && known !== text && !losses.isElectorateForgotten)
      problems.add(`epoch ${id} is two: ${known} and, at ${node.name}, ${text}`);
    texts.set(id, text);
    const before = last.get(node);
    const { actor } = node.disk;
    if (before?.actor === actor && before.epoch > epoch && !losses.isElectorateForgotten)
      problems.add(`${node.name} went from epoch ${before.epoch} to ${epoch}`);
    last.set(node, { actor, founder: lineage.founder, epoch });
  };

  return {
    name: 'electorates',
    get isSplit() {
      return founded.size > 1;
    },
    event: (node, event) => {
      if (event.type !== 'electorate-changed') return;
      const electorate = node.running?.node.deciders.electorate ?? null;
      if (electorate !== null) note(node, electorate);
    },
    check: () => problems.all(),
    exemptions: () => [
      ...(isExempt ? ['strong buckets founded twice'] : []),
      ...(losses.isElectorateForgotten ? ['the electorate forgotten by an older disk'] : []),
    ],
  };
}

/** True where majorities of both have a member in common. */
function mustMeet(a: Electorate, b: Electorate): boolean {
  const [these, those] = [a.electors.map(({ id }) => id), b.electors.map(({ id }) => id)];
  return majorityOf(these) + majorityOf(those) > new Set([...these, ...those]).size;
}
