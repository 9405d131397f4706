import type { Log } from '../../ports/log.ts';
import { HUB_VERSIONS, type HubHello, type HubRefusalCode } from './hub-admission.ts';

/** Strangers may come in any number: so many of them are warned of in a minute, and the rest is told to who debugs. */
const WARNINGS_PER_MINUTE = 30;
const MINUTE_MS = 60_000;

interface Refusal {
  readonly code: HubRefusalCode;
  readonly by: 'self' | 'peer';
  readonly hello?: HubHello;
}

/** Tells the hub's operator who was refused, why, and what to do about it. */
export class RefusalLog {
  private readonly log: Log;
  private minuteEndsMs = 0;
  private warnings = 0;

  constructor(log: Log) {
    this.log = log;
  }

  note(refusal: Refusal, isKnownSite: boolean, from: { readonly peer: string; readonly address: string }): void {
    const nowMs = performance.now();
    if (nowMs >= this.minuteEndsMs) {
      this.minuteEndsMs = nowMs + MINUTE_MS;
      this.warnings = 0;
    }
    const fields = { ...from, site: refusal.hello?.site ?? null, code: refusal.code, refusedBy: refusal.by };
    if (++this.warnings <= WARNINGS_PER_MINUTE) this.log.warn(advice(refusal, isKnownSite), fields);
    else this.log.debug(advice(refusal, isKnownSite), fields);
  }
}

function advice({ code, by, hello }: Refusal, isKnownSite: boolean): string {
  switch (code) {
    case 'bad-token':
      return isKnownSite
        ? 'a node holds another token of a site and was refused; give it the token that was issued last'
        : 'a node names a site that there is not and was refused; add the site, or take the hub out of the configuration of the node';
    case 'wrong-hub':
      return 'a node does not believe that this hub has issued its token; check that the hub works on the right database';
    case 'version-mismatch':
      return (
        `a node speaks versions ${hello?.versionMin ?? '?'} to ${hello?.versionMax ?? '?'} of the uplink, ` +
        `this hub ${HUB_VERSIONS.versionMin} to ${HUB_VERSIONS.versionMax}; update the older of the two`
      );
    case 'full':
      return 'a site was refused for there are too many sessions, of it or in all; check whether its token is used by other clusters too, or raise the limits';
    case 'unavailable':
      return 'a site was refused because it could not be looked up; check the database of the hub';
    case 'malformed':
      return by === 'self'
        ? 'somebody who connected did not follow the protocol of the hub and was refused; check that only sites dial this address'
        : 'a node did not understand this hub and left; update the older of the two';
  }
}
