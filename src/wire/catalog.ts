import {
  BUCKETS_MAX,
  type BucketRecord,
  type CatalogState,
  type IslandPolicy,
  PREFERRED_ZONES_MAX,
  ZONE_LENGTH_MAX,
} from '../protocol/catalog/record.ts';
import { ASKER_LENGTH_MAX, RING_MEMBERS_MAX, type RingRecord } from '../protocol/catalog/ring-record.ts';
import { nodeId, shortText } from './claim.ts';
import {
  appended,
  boolean,
  type Codec,
  DecodeError,
  integer,
  list,
  mapped,
  nullable,
  number,
  oneOf,
  record,
  text,
  uint32,
} from './codec.ts';
import { bucketName } from './value.ts';

const asker = text(ASKER_LENGTH_MAX * 4);
const member: Codec<RingRecord> = record<RingRecord>({
  id: nodeId,
  own: record({ version: integer(), weight: number, zone: shortText, actor: text(16) }),
  place: record({ version: integer(), value: oneOf('in', 'out', 'removed', 'missing'), by: asker }),
  weight: record({ version: integer(), value: nullable(number), by: asker }),
  zone: record({ version: integer(), value: nullable(shortText), by: asker }),
});

/** A bucket in the middle of a list, to whose fields none can be added. */
type FirstFields = Omit<BucketRecord, 'island'>;

const bucket: Codec<FirstFields> = record<FirstFields>({
  name: bucketName,
  version: integer(),
  consistency: oneOf('eventual', 'strong'),
  conflict: oneOf('lww', 'siblings'),
  replicas: nullable(integer()),
  preferredZones: list(text(ZONE_LENGTH_MAX * 4), PREFERRED_ZONES_MAX),
  sync: oneOf('none', 'up', 'down', 'both'),
  ttlSeconds: nullable(integer()),
  born: uint32,
});

interface FirstState {
  readonly members: readonly RingRecord[];
  readonly buckets: readonly FirstFields[];
}

const firstState: Codec<FirstState> = record<FirstState>({
  members: list(member, RING_MEMBERS_MAX),
  buckets: list(bucket, BUCKETS_MAX),
});

/** Of all buckets, in their order; at the very end of what has a catalog, where older nodes look no further. */
const policies: Codec<readonly IslandPolicy[] | null> = appended(list(oneOf('accept', 'refuse'), BUCKETS_MAX));

function policiesOf({ buckets }: CatalogState): IslandPolicy[] {
  return buckets.map(({ island }) => island);
}

function stateOf({ members, buckets }: FirstState, islands: readonly IslandPolicy[] | null): CatalogState {
  if (islands !== null && islands.length !== buckets.length) throw new DecodeError('not one policy a bucket');
  return { members, buckets: buckets.map((one, i) => ({ ...one, island: islands?.[i] ?? 'accept' })) };
}

/** As it is on the disk: on its own. */
export const catalogState: Codec<CatalogState> = mapped(
  record({ first: firstState, islands: policies }),
  (state: CatalogState) => ({ first: state, islands: policiesOf(state) }),
  ({ first, islands }) => stateOf(first, islands),
);

interface CatalogFields {
  readonly state: CatalogState;
  readonly reply: boolean;
}

/** As it is sent. */
export const catalogMessage: Codec<CatalogFields> = mapped(
  record({ first: firstState, reply: boolean, islands: policies }),
  ({ state, reply }: CatalogFields) => ({ first: state, reply, islands: policiesOf(state) }),
  ({ first, reply, islands }) => ({ state: stateOf(first, islands), reply }),
);
