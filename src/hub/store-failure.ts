import { type Failure, failure, HoldfastError } from '../lib/failure.ts';
import { HubStoreError } from '../ports/hub-store.ts';

/** What a request was about. */
export interface StoreUse {
  /** Empty: no site. */
  readonly site: string;
  readonly writes: boolean;
}

/** What a client is told of anything that a store throws; errors of other kinds as they are. */
export function storeFailure(error: unknown, use: StoreUse): unknown {
  if (!(error instanceof HubStoreError)) return error;
  return new HoldfastError(failureOf(error, use), { cause: error });
}

export function siteNotFound(name: string): Failure {
  const shown = name.length > SHOWN_CHARACTERS_MAX ? `${name.slice(0, SHOWN_CHARACTERS_MAX)}…` : name;
  return failure('site-not-found', `there is no site ${JSON.stringify(shown)}; GET /v1/sites lists all of them`);
}

const SHOWN_CHARACTERS_MAX = 64;

function failureOf({ code, message }: HubStoreError, { site, writes }: StoreUse): Failure {
  switch (code) {
    case 'no-site':
      return siteNotFound(site);
    case 'disk-full':
      return failure('disk-full', message);
    case 'unavailable':
    case 'in-use':
    case 'unreadable':
    case 'io':
      return failure('store-unavailable', message, writes ? { stateChanged: 'maybe' } : {});
  }
}
