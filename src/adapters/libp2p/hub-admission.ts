import { createHmac, randomBytes } from 'node:crypto';
import { isSitePath, sitePathOf } from '../../lib/site-name.ts';
import { SiteToken } from '../../lib/site-token.ts';
import type { NodeId } from '../../ports/transport.ts';
import { HUB_WIRE_VERSION } from '../../wire/hub-message.ts';
import { COMPRESSIONS, type Compression, compressions } from './frame-compression.ts';
import {
  type HandshakeStep,
  type HandshakeTerms,
  isCount,
  MutualHandshake,
  type VersionRange,
  versionsOverlap,
} from './mutual-handshake.ts';

/** Versions of `wire/hub-message.ts` that this program speaks. */
export const HUB_VERSIONS: VersionRange = { versionMin: 1, versionMax: HUB_WIRE_VERSION };

/** Compressions that a peer may name; unknown ones are ignored. */
const COMPRESSIONS_NAMED_MAX = 16;
const SECRET_BYTES = 32;
const KEY_LABEL = 'holdfast/site-key/1';

/**
 * Why there is no session. `bad-token`: says the hub, of a site that it does not know as of one whose token is another.
 * `wrong-hub`: says the site's node. `unavailable`: the hub cannot look sites up just now. `full`: it has as many sessions as it
 * takes, of this site or of all.
 */
export type HubRefusalCode = 'bad-token' | 'wrong-hub' | 'version-mismatch' | 'unavailable' | 'full' | 'malformed';

/** What either end says of itself. */
export interface HubHello extends VersionRange {
  /** The site, or one of its sites where it is a hub, which its token speaks for too. Null: this is the hub. */
  readonly site: string | null;
  readonly compressions: readonly Compression[];
}

export type HubHandshakeStep = HandshakeStep<HubHello, HubRefusalCode>;

/** A token that nobody has had before. The name must be valid: see `lib/site-name.ts`. */
export function createSiteToken(site: string): SiteToken {
  return SiteToken.of(site, randomBytes(SECRET_BYTES).toString('hex'));
}

/**
 * What the token proves, 32 bytes, which is all that the hub keeps of it. The secret is random, so that nothing can be
 * gained from stretching it. Whoever holds the key can speak for the site as for the hub, but not tell the token.
 */
export function siteKeyOf(token: SiteToken): Uint8Array {
  const mac = createHmac('sha256', Buffer.from(token.secret, 'hex'));
  return new Uint8Array(mac.update(`${KEY_LABEL}/${token.site}`).digest());
}

const TERMS: HandshakeTerms<HubHello, HubRefusalCode> = {
  label: 'holdfast/hub-admit/1',
  codes: ['bad-token', 'wrong-hub', 'version-mismatch', 'unavailable', 'full', 'malformed'],
  unproven: { initiator: 'wrong-hub', responder: 'bad-token' },
  decodeHello,
  compare,
};

/**
 * Proves to each other that a site's node and a hub both hold the site's key; see MutualHandshake. The node is the initiator and
 * names its site; the hub looks up the key (`useKey`) before it answers, or takes a random one where there is no such
 * site: who asks cannot tell an unknown site from a wrong token.
 */
export class HubHandshake extends MutualHandshake<HubHello, HubRefusalCode> {
  /** `below`: the site of the hub that has the token; `versions`: other than those of this program. */
  static ofSite(end: {
    readonly token: SiteToken;
    readonly below?: string | undefined;
    readonly self: NodeId;
    readonly peer: NodeId;
    readonly compressions?: readonly Compression[];
    readonly versions?: VersionRange;
  }): HubHandshake {
    const { token, below, self, peer } = end;
    const hello = helloOf(below === undefined ? token.site : sitePathOf(token.site, below), end);
    return new HubHandshake(TERMS, { role: 'initiator', key: siteKeyOf(token), self, peer, hello });
  }

  static ofHub(end: {
    readonly self: NodeId;
    readonly peer: NodeId;
    readonly compressions?: readonly Compression[];
    readonly versions?: VersionRange;
  }): HubHandshake {
    const { self, peer } = end;
    return new HubHandshake(TERMS, { role: 'responder', key: null, self, peer, hello: helloOf(null, end) });
  }

  /** Null: there is no such site. */
  useSiteKey(key: Uint8Array | null): void {
    this.useKey(key ?? randomBytes(SECRET_BYTES));
  }
}

/** The best that both ends speak. */
export function commonCompression(own: readonly Compression[], peer: readonly Compression[]): Compression {
  return COMPRESSIONS.find((name) => own.includes(name) && peer.includes(name)) ?? 'deflate';
}

function helloOf(
  site: string | null,
  end: { readonly compressions?: readonly Compression[]; readonly versions?: VersionRange },
): HubHello {
  return { site, ...(end.versions ?? HUB_VERSIONS), compressions: end.compressions ?? compressions() };
}

function compare(own: HubHello, peer: HubHello): HubRefusalCode | undefined {
  // One of the two is a site.
  if ((own.site === null) === (peer.site === null)) return 'malformed';
  return versionsOverlap(own, peer) ? undefined : 'version-mismatch';
}

function decodeHello(fields: Readonly<Record<string, unknown>>): HubHello | undefined {
  const { site, versionMin, versionMax, compressions: named } = fields;
  if (site !== null && (typeof site !== 'string' || !isSitePath(site))) return undefined;
  if (!isCount(versionMin) || !isCount(versionMax)) return undefined;
  if (!Array.isArray(named) || named.length > COMPRESSIONS_NAMED_MAX) return undefined;
  return {
    site,
    versionMin,
    versionMax,
    compressions: COMPRESSIONS.filter((name) => (named as unknown[]).includes(name)),
  };
}
