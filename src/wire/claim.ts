import type { Claim } from '../protocol/membership/claim.ts';
import type { Coordinate } from '../protocol/membership/coordinate.ts';
import type { MemberProfile } from '../protocol/membership/member.ts';
import {
  type AccusationUpdate,
  type AliveUpdate,
  MEMBERSHIP_LIMITS,
  type MemberUpdate,
} from '../protocol/membership/message.ts';
import {
  bytes,
  type Codec,
  encodeOne,
  integer,
  list,
  mapped,
  nullable,
  number,
  record,
  signed,
  text,
  union,
} from './codec.ts';

const limits = MEMBERSHIP_LIMITS;
export const nodeId = text(limits.idLengthMax);
/** Up to four UTF-8 bytes a character. */
export const shortText = text(limits.textLengthMax * 4);

/** In hundredths of a millisecond and thousandths: a coordinate is never better than that. */
const hundredths: Codec<number> = mapped(
  signed,
  (value: number) => Math.round(value * 100),
  (value) => value / 100,
);
const thousandths: Codec<number> = mapped(
  integer(),
  (value: number) => Math.round(value * 1000),
  (value) => value / 1000,
);
export const coordinate = nullable(
  record<Coordinate>({ x: hundredths, y: hundredths, z: hundredths, height: hundredths, error: thousandths }),
);

/** What a member says of itself; the address book keeps it too. */
export const memberProfile: Codec<MemberProfile> = record<MemberProfile>({
  name: text(limits.nameLengthMax * 4),
  zone: shortText,
  labels: mapped(
    list(record<{ key: string; value: string }>({ key: shortText, value: shortText }), limits.labelsMax),
    // Sorted, because the profile is signed: an object does not keep the order of keys that look like numbers.
    (labels: Readonly<Record<string, string>>) =>
      Object.keys(labels)
        .sort()
        .map((key) => ({ key, value: labels[key] as string })),
    (pairs) => Object.fromEntries(pairs.map(({ key, value }) => [key, value])),
  ),
  capabilities: list(shortText, limits.capabilitiesMax),
  addresses: list(text(limits.addressLengthMax), limits.addressesMax),
  versionMin: integer(),
  versionMax: integer(),
  bootEpoch: integer(),
  score: number,
  coordinate,
  weight: number,
});

const signature = bytes(limits.signatureBytesMax);
const aliveFields = { id: nodeId, incarnation: integer(), profile: memberProfile };
const accusationFields = { id: nodeId, incarnation: integer(), from: nodeId };
const leftFields = { id: nodeId, incarnation: integer() };
const signedAlive = record<Omit<AliveUpdate, 'state'>>({ ...aliveFields, signature });
const aliveUpdate: Codec<AliveUpdate> = mapped(
  signedAlive,
  (alive: AliveUpdate) => alive,
  (fields) => ({ state: 'alive', ...fields }),
);
const accusation: Codec<Omit<AccusationUpdate, 'state'>> = mapped(
  record<Omit<AccusationUpdate, 'state' | 'alive'> & { alive: AliveUpdate | null }>({
    ...accusationFields,
    signature,
    alive: nullable(aliveUpdate),
  }),
  (value: Omit<AccusationUpdate, 'state'>) => ({ ...value, alive: value.alive ?? null }),
  ({ alive, ...rest }) => (alive === null ? rest : { ...rest, alive }),
);

const update: Codec<MemberUpdate> = union<MemberUpdate, 'state'>('state', {
  alive: [0, signedAlive],
  suspect: [1, accusation],
  dead: [2, accusation],
  left: [3, record({ ...leftFields, signature })],
});
export const updates = list(update, limits.updatesPerMessageMax);

/** What the author of a claim signs: a purpose and the cluster too, so that a signature is worth nothing elsewhere. */
const signedText = record<{ purpose: string; clusterId: string; claim: Claim }>({
  purpose: text(128),
  clusterId: text(128),
  claim: union<Claim, 'state'>('state', {
    alive: [0, record(aliveFields)],
    suspect: [1, record(accusationFields)],
    dead: [2, record(accusationFields)],
    left: [3, record(leftFields)],
  }),
});

/** The bytes that are signed for a claim; fields beyond the claim's own are not looked at. */
export function claimBytes(clusterId: string, claim: Claim): Uint8Array {
  return encodeOne(signedText, { purpose: 'holdfast membership claim', clusterId, claim });
}
