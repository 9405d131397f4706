import type { HubLinkFailure } from '../../ports/hub-link.ts';
import { classifyDialError, errorsIn } from './dial-error.ts';
import type { HubHello, HubRefusalCode } from './hub-admission.ts';
import { HUB_VERSIONS } from './hub-admission.ts';

/** Why there is no session, and in one sentence for an operator what to do about it. */
export interface LinkFailure {
  readonly reason: HubLinkFailure;
  readonly detail: string;
}

/** Of the end of a handshake. `by`: who refused. */
export function handshakeFailure(
  refusal: { readonly code: HubRefusalCode; readonly by: 'self' | 'peer'; readonly hello?: HubHello },
  address: string,
  site: string,
): LinkFailure {
  switch (refusal.code) {
    case 'bad-token':
      return {
        reason: 'bad-token',
        detail:
          `the hub at ${address} does not accept the token of site "${site}": it knows no such site, or the token is another; ` +
          'check that the token is the one that this hub has issued last for the site',
      };
    case 'wrong-hub':
      return refusal.by === 'self' ? wrongHub(address, site) : malformed(address);
    case 'version-mismatch': {
      const { versionMin, versionMax } = HUB_VERSIONS;
      const theirs = refusal.hello;
      const spoken = theirs === undefined ? 'others' : `${theirs.versionMin} to ${theirs.versionMax}`;
      return {
        reason: 'version-mismatch',
        detail:
          `the hub at ${address} speaks versions ${spoken} of the uplink, this node ${versionMin} to ${versionMax}; ` +
          'update the older of the two',
      };
    }
    case 'unavailable':
      return {
        reason: 'closed',
        detail: `the hub at ${address} cannot look up its sites just now; check the hub's database, it is tried again`,
      };
    case 'full':
      return {
        reason: 'closed',
        detail:
          `the hub at ${address} has as many sessions as it takes, of this site or of all; ` +
          'check whether the token is used by another cluster, or raise the limits of the hub',
      };
    case 'malformed':
      return malformed(address);
  }
}

function malformed(address: string): LinkFailure {
  return {
    reason: 'wrong-hub',
    detail: `what answers at ${address} does not follow the protocol of a hub; check that the address is the hub's`,
  };
}

function wrongHub(address: string, site: string): LinkFailure {
  return {
    reason: 'wrong-hub',
    detail:
      `what answers at ${address} could not prove that it has issued the token of site "${site}"; ` +
      "check that the address is the hub's and that nothing answers in its place",
  };
}

/** The address names another peer id than the one that answers. */
export function otherPeer(address: string, answered: string): LinkFailure {
  return {
    reason: 'wrong-hub',
    detail:
      `at ${address} another hub or node answers, with the peer id ${answered}; ` +
      "check the address, or take the peer id out of it where the hub's has changed",
  };
}

/** Of an attempt to connect, up to the hub's stream. */
export function connectFailure(cause: unknown, address: string, timeoutMs: number): LinkFailure {
  const errors = errorsIn(cause);
  if (errors.some(({ name }) => name === 'UnsupportedProtocolError')) {
    return {
      reason: 'wrong-hub',
      detail: `what answers at ${address} is no hub; check the address and the port`,
    };
  }
  const result = classifyDialError(cause);
  if (result.kind === 'self') {
    return { reason: 'wrong-hub', detail: `${address} is this node itself; set the address of the hub` };
  }
  const failure = result.kind === 'failed' ? result.reason : 'unreachable';
  switch (failure) {
    case 'refused':
      return {
        reason: 'refused',
        detail: `nothing listens at ${address}; check that the hub runs and that the address and the port are its own`,
      };
    case 'timeout':
      return {
        reason: 'timeout',
        detail: `${address} does not answer within ${timeoutMs} ms; check the address and the network, and any firewall in between`,
      };
    default:
      return unreachable(errors, address);
  }
}

function unreachable(errors: readonly Error[], address: string): LinkFailure {
  const codes = errors.map((error) => ('code' in error ? error.code : undefined));
  if (codes.includes('ENOTFOUND') || codes.includes('EAI_AGAIN')) {
    return {
      reason: 'unreachable',
      detail: `the name in ${address} is not known to the name server; check the address and this machine's name server`,
    };
  }
  if (errors.some(({ name }) => name === 'EncryptionFailedError')) {
    return {
      reason: 'unreachable',
      detail: `what listens at ${address} does not speak as a hub does; check the address and the port`,
    };
  }
  const cause = errors.at(-1)?.message ?? 'no reason given';
  return {
    reason: 'unreachable',
    detail: `${address} cannot be reached (${cause}); check the address and the network`,
  };
}
