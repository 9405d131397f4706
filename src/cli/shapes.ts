import { z } from 'zod';
import { type ApiTarget, NODE_API } from './api-target.ts';
import { CliError } from './errors.ts';

/** Answers of the HTTP API as far as tables show them; fields that a newer node adds are ignored. */

const count = z.number();

const BACKLOG = z.object({ events: count, oldestSeconds: count });

/** Of a node with its hub, or of a hub with the one above: that has no `conflicts`. */
export const HUB = z.object({
  address: z.string(),
  site: z.string(),
  connected: z.boolean(),
  carrying: z.boolean(),
  problem: z.string().nullable(),
  backlog: BACKLOG,
  islandBacklog: BACKLOG,
  lastSyncAt: z.string().nullable(),
  conflicts: count.optional(),
});
export type Uplink = z.infer<typeof HUB>;

export const STATUS = z.object({
  name: z.string(),
  peerId: z.string(),
  clusterId: z.string(),
  version: z.string(),
  bootEpoch: count,
  uptimeSeconds: count,
  notReady: z.string().nullable().optional(),
  level: z.string(),
  leader: z.string().nullable().optional(),
  term: count.optional(),
  quorate: z.boolean().optional(),
  members: z.record(z.string(), count),
  ringEpoch: count,
  ringPlace: z.string().optional(),
  shards: z.object({ owned: count, complete: count, transferring: count, behind: count.optional() }),
  disk: z.object({
    usedBytes: count,
    freeBytes: count,
    headroomBytes: count.optional(),
    readOnly: z.boolean(),
    recordsLost: z.string().nullable().optional(),
  }),
  scrub: z.object({ running: z.boolean(), lastFinishedAt: z.string().nullable(), corruptRecords: count }).optional(),
  hints: z.object({ records: count, bytes: count, dropped: count }).optional(),
  clock: z.object({ offsetMs: z.int(), confirmed: z.boolean() }).optional(),
  hub: HUB.nullable().optional(),
});

export const HUB_STATUS = z.object({
  name: z.string(),
  peerId: z.string(),
  version: z.string(),
  uptimeSeconds: count,
  store: z.string(),
  addresses: z.array(z.string()),
  sites: count,
  sessions: count,
  hub: HUB.nullable(),
});

export const MEMBERS = z.object({
  members: z.array(
    z.object({
      name: z.string(),
      peerId: z.string(),
      state: z.string(),
      health: z.string(),
      zone: z.string(),
      ownZone: z.string().optional(),
      addresses: z.array(z.string()),
      score: count,
      rttMs: count.nullable(),
      rttEstimated: z.boolean().optional(),
      missedProbes: count.optional(),
      errorRate: count.optional(),
      since: z.string().nullable(),
      self: z.boolean(),
    }),
  ),
});

export const LEADER = z.object({
  leader: z.string().nullable(),
  peerId: z.string().nullable(),
  self: z.boolean(),
  term: count,
  quorate: z.boolean(),
  leaseRemainingMs: count,
  fencingToken: count.nullable(),
  votes: count,
  view: count,
});

export const LOCK = z.object({ token: count });

export const ISLANDS = z.object({
  level: z.string(),
  levelSince: z.string().nullable(),
  components: z.array(
    z.object({
      self: z.boolean(),
      members: z.array(z.object({ name: z.string(), state: z.string().nullable(), place: z.string() })),
      leader: z.string().nullable(),
      term: count.nullable(),
      quorate: z.boolean().nullable(),
      since: z.string().nullable(),
    }),
  ),
});

const RING_MEMBER = z.object({
  name: z.string(),
  state: z.string().nullable().optional(),
  in: z.boolean(),
  place: z.string().optional(),
  weight: count,
  zone: z.string(),
  shards: count,
});

export type RingMember = z.infer<typeof RING_MEMBER>;
export const REFOUND = z.object({
  epoch: z.int(),
  electors: z.array(z.string()),
  lost: z.array(z.string()),
  shards: z.int(),
  atRisk: z.int(),
  emptied: z.int(),
});
export type Refound = z.infer<typeof REFOUND>;

export const RING_CHANGE = RING_MEMBER.extend({ changed: z.boolean().optional() });

export const RING = z.object({
  epoch: count,
  shards: count,
  replicas: count,
  members: z.array(RING_MEMBER),
  changing: z.object({ shards: count, moved: count.optional() }).nullable(),
  electorate: z
    .object({ epoch: count, electors: z.array(z.string()), previous: z.array(z.string()).nullable() })
    .nullable()
    .optional(),
  placements: z
    .array(
      z.object({
        replicas: count,
        preferredZones: z.array(z.string()),
        buckets: z.array(z.string()),
        members: z.array(z.object({ name: z.string(), shards: count })),
      }),
    )
    .optional(),
});

export type Ring = z.infer<typeof RING>;

const BUCKET = z.object({
  name: z.string(),
  consistency: z.string(),
  conflict: z.string(),
  replicas: count,
  preferredZones: z.array(z.string()).optional(),
  sync: z.string(),
  ttlSeconds: count.nullable(),
  island: z.string().optional(),
});

export type Bucket = z.infer<typeof BUCKET>;
export const ONE_BUCKET = BUCKET;
export const BUCKETS = z.object({ buckets: z.array(BUCKET) });

export const CLUSTER_EVENT = z.object({
  time: z.string(),
  type: z.string(),
  data: z.record(z.string(), z.union([z.string(), count, z.boolean()])),
});

/** Text, or bytes that are none. */
const BYTES = z.union([z.string(), z.object({ base64: z.base64() })]);

/** A value: bytes in base64, or what a set or map holds. */
const VARIANT = z.object({
  value: z.base64().optional(),
  members: z.array(BYTES).optional(),
  fields: z.record(z.string(), BYTES).optional(),
  binaryFields: z.array(z.object({ field: BYTES, value: BYTES })).optional(),
});
export type ItemValue = z.infer<typeof VARIANT>;
export type ItemBytes = z.infer<typeof BYTES>;

/** A line of a listing, a change of a watch, or one of several concurrent values. */
export const ITEM = VARIANT.extend({ key: z.string(), siblings: z.array(VARIANT).optional() });
export type Item = z.infer<typeof ITEM>;

const SITE_FIELDS = {
  name: z.string(),
  createdAt: z.string(),
  clusterId: z.string().nullable(),
  connected: z.boolean(),
  lastSeenAt: z.string().nullable(),
};

export const SITES = z.object({ sites: z.array(z.object(SITE_FIELDS)) });
export const NEW_SITE = z.object({ name: z.string(), token: z.string() });

export const SITE = z.object({
  ...SITE_FIELDS,
  sessions: z.array(
    z.object({
      peerId: z.string(),
      since: z.string(),
      island: z
        .object({ leader: z.string().nullable(), quorate: z.boolean(), members: z.array(z.string()) })
        .nullable(),
      backlogEvents: count.nullable(),
      oldestSeconds: count.nullable(),
      sentBytes: count,
      receivedBytes: count,
    }),
  ),
  keys: count,
  conflicts: count,
});
export type Site = z.infer<typeof SITE>;

export const SHARES = z.object({
  shares: z.array(
    z.object({
      from: z.string(),
      bucket: z.string(),
      to: z.string(),
      checkedAt: z.string().nullable(),
      problem: z.string().nullable(),
    }),
  ),
});

export const SITE_BUCKETS = z.object({
  buckets: z.array(
    z.object({ name: z.string(), sync: z.string(), conflict: z.string(), ttlSeconds: count.nullable() }),
  ),
});

const CONFLICT_WRITE = z.object({
  by: z.string(),
  at: z.string(),
  value: z.base64().optional(),
  leftOutBytes: count.optional(),
  type: z.string().optional(),
});

/** Of a node, or of a hub: that has one place for all, and `next` is a number. */
export const CONFLICTS = z.object({
  conflicts: z.array(
    z.object({ bucket: z.string(), key: z.string(), at: z.string(), winner: CONFLICT_WRITE, loser: CONFLICT_WRITE }),
  ),
  next: z.union([z.string(), count]).nullable(),
  missing: z.array(z.string()).optional(),
});

/** Reads an answer; one that does not fit comes from another version, or from something else. */
export function readShape<T>(schema: z.ZodType<T>, answer: unknown, { noun }: ApiTarget = NODE_API): T {
  const result = schema.safeParse(answer);
  if (result.success) return result.data;
  const path = result.error.issues[0]?.path.join('.') || 'answer';
  throw new CliError(
    `the ${noun}'s answer is not understood (${path}) — use the ${noun}'s own version of holdfast, or --json`,
  );
}
