import type { SimCluster } from '../cluster.ts';
import type { History } from '../history.ts';
import type { HubClients } from '../hub-clients.ts';
import type { SessionHistory } from '../session-clients.ts';
import type { StrongHistory } from '../strong-history.ts';
import type { StrongLosses } from '../strong-losses.ts';
import type { WatchState } from '../watch-clients.ts';
import { boundsChecker } from './bounds.ts';
import type { Checker } from './checker.ts';
import { claimsChecker } from './claims.ts';
import { collectionsChecker } from './collections.ts';
import { convergenceChecker } from './convergence.ts';
import { crashesChecker } from './crashes.ts';
import { dotsChecker } from './dots.ts';
import { durabilityChecker } from './durability.ts';
import { electoratesChecker } from './electorates.ts';
import { hubReadsChecker } from './hub-reads.ts';
import { incarnationsChecker } from './incarnations.ts';
import { indexChecker } from './index-rows.ts';
import { leadersChecker } from './leaders.ts';
import { lifetimesChecker } from './lifetimes.ts';
import { linearizabilityChecker, strongAnswersChecker } from './linearizability.ts';
import { promisesChecker } from './promises.ts';
import { readsChecker } from './reads.ts';
import { reconciliationChecker } from './reconciliation.ts';
import { removalsChecker } from './removals.ts';
import { stampsChecker } from './stamps.ts';
import { suspicionsChecker } from './suspicions.ts';
import { trafficChecker } from './traffic.ts';
import { valuesChecker } from './values.ts';
import { viewsChecker } from './views.ts';
import { votesChecker } from './votes.ts';
import { watchesChecker } from './watches.ts';

export { type Checker, RunAborted } from './checker.ts';

/** What clients of all kinds did and were told. */
export interface Clients {
  /** Of each bucket. */
  readonly histories: readonly History[];
  readonly sessions: SessionHistory;
  readonly watch: WatchState;
  readonly hubClients: HubClients;
  readonly strong: { readonly history: StrongHistory; readonly losses: StrongLosses };
}

/** Everything that must hold in every run. To be attached before the first node starts. */
export function allCheckers(
  cluster: SimCluster,
  { histories, sessions, watch, strong, hubClients }: Clients,
): Checker[] {
  const electorates = electoratesChecker(cluster, strong.losses);
  const strongTruth = { ...strong, electorates };
  return [
    durabilityChecker(cluster, histories),
    collectionsChecker(cluster, histories),
    convergenceChecker(cluster),
    reconciliationChecker(cluster),
    hubReadsChecker(hubClients.sessions),
    indexChecker(cluster),
    readsChecker(histories, sessions),
    watchesChecker(cluster, watch),
    valuesChecker(cluster, histories, hubClients),
    lifetimesChecker(cluster, histories),
    dotsChecker(cluster),
    stampsChecker(cluster),
    promisesChecker(),
    votesChecker(),
    removalsChecker(cluster),
    suspicionsChecker(cluster),
    crashesChecker(cluster),
    leadersChecker(cluster),
    electorates,
    linearizabilityChecker(cluster, strongTruth),
    strongAnswersChecker(strongTruth),
    viewsChecker(cluster),
    incarnationsChecker(),
    claimsChecker(),
    boundsChecker(cluster),
    trafficChecker(cluster, () => strong.losses.isElectorateGone || electorates.isSplit),
  ];
}
