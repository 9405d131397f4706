import { FAILURE_CODES, type FailureCode } from '../../lib/failure.ts';
import { conflictsList } from './conflict.ts';
import { integer, list, nullable, object, type Schema, text } from './schema.ts';

const PROBLEM_SCHEMA: Schema = {
  ...object(
    {
      type: { type: 'string', format: 'uri-reference' },
      title: { type: 'string' },
      status: integer(),
      detail: text('What went wrong and what to do about it.'),
      code: { type: 'string', enum: Object.keys(FAILURE_CODES), description: 'Stable; made for programs.' },
      instance: { type: 'string', format: 'uri-reference' },
      stateChanged: text('`maybe`: a write may have taken effect all the same.'),
      complete: { type: 'boolean', description: 'False: too few owners could be asked to know that there is none.' },
      etag: text('Of the value that is there, where a condition did not hold.'),
    },
    ['stateChanged', 'complete', 'etag'],
  ),
  description: 'RFC 9457 problem details; further members carry data, for instance the limit that was exceeded.',
};

/** Responses of a route's failures, by status. */
export function problems(...codes: readonly FailureCode[]): Record<number, Schema> {
  const byStatus = new Map<number, FailureCode[]>();
  for (const code of [...codes, 'internal'] as const) {
    const status = FAILURE_CODES[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus].map(([status, names]) => [
      status,
      {
        description: names.map((name) => `\`${name}\``).join(', '),
        content: { 'application/problem+json': { schema: PROBLEM_SCHEMA } },
      },
    ]),
  );
}

export const BYTES = { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } };

export const TEXT = (description: string, mediaType: string): Schema => ({
  description,
  content: { [mediaType]: { schema: { type: 'string' } } },
});

export const EVENT_STREAM = TEXT('A stream of events.', 'text/event-stream');

export const lastEventId: Schema = {
  type: 'object',
  properties: { 'Last-Event-ID': text('The id of the last event received: resume after it.') },
};

export const contextHeader = {
  'Holdfast-Context': text(
    'The causal context of an earlier answer about this key, as it was received: a write replaces what that has seen, a ' +
      'read shows no less.',
  ),
};

export const conditionHeaders = {
  'If-Match': text('Strong buckets only: the ETag of the version to replace, or `*` for any. Else 412.'),
  'If-None-Match': text('Strong buckets only: `*`, where there must be no value. Else 412.'),
};

export const ENTITY_HEADERS = {
  ETag: text('Names the version of the value.'),
  'Holdfast-Context': text(
    'The causal context to pass on with the next request for this key. Left out when it is too large for a header, and ' +
      'by strong buckets.',
  ),
};

export const TYPE_HEADER = {
  'Holdfast-Type': text('`set` or `map` where the value is one; else left out.'),
};

export const WRITE_HEADERS = {
  'Holdfast-Acks': text(
    'Nodes that have synced the write, of the number of owners of the key: `3/3`. Left out by strong buckets.',
  ),
  'Holdfast-Quorum': text('`strict`, or `sloppy` when nodes that are no owners of the key made up the number.'),
  'Holdfast-Complete': text(
    '`false` where nothing was found to change, and too few owners of the key could be asked; else left out.',
  ),
};

export const BUCKET_PARAMS = object({ bucket: text('Name of the bucket.') });

export const MEMBER_PARAMS = object({ member: text('Name or peer id of the member.') });

export const LOCK_PARAMS = object({
  name: text('Name of the lock: 1 to 256 characters, percent-encoded, slashes too.'),
});

export const KEY_PARAMS = object({
  bucket: text('Name of the bucket.'),
  key: text('1 to 1024 bytes of UTF-8, percent-encoded where the URL needs it; slashes may stand as they are.'),
});

const VARIANT_PROPERTIES = {
  value: { type: 'string', contentEncoding: 'base64' },
  contentType: { type: 'string' },
  type: { type: 'string', enum: ['set', 'map'], description: 'Where it is no sequence of bytes.' },
  members: { type: 'array', description: 'Of a set.' },
  fields: { type: 'object', description: 'Of a map.' },
  etag: { type: 'string' },
  hlcMs: integer(
    'When it was written, of a set, map or counter begun or its expiry changed: the hybrid logical clock, Unix ms.',
  ),
};

export const VARIANT_SCHEMA = object(VARIANT_PROPERTIES, ['value', 'contentType', 'type', 'members', 'fields']);

const BUCKET_PROPERTIES = {
  consistency: {
    type: 'string',
    enum: ['eventual', 'strong'],
    default: 'eventual',
    description:
      '`strong`: the latest value for all, with conditional writes; requests need a majority of the owners. Strong buckets ' +
      'take no `replicas`, `preferredZones` and `sync` of their own, and have no concurrent writes.',
  },
  conflict: {
    type: 'string',
    enum: ['lww', 'siblings'],
    default: 'lww',
    description: 'Concurrent writes: the last one wins, or all are kept.',
  },
  replicas: integer('Owners of each key; left out when the bucket is created: as the cluster is configured.'),
  preferredZones: {
    type: 'array',
    items: { type: 'string' },
    default: [],
    description:
      'Owners come from members of these zones as far as there are enough. Preferred, not required: others make up for the rest.',
  },
  sync: {
    type: 'string',
    enum: ['none', 'up', 'down', 'both'],
    default: 'none',
    description: 'Reconciliation with the hub.',
  },
  ttlSeconds: nullable(integer('Default time to live of values; null: for ever.')),
  island: {
    type: 'string',
    enum: ['accept', 'refuse'],
    default: 'accept',
    description:
      'Writes at a node whose level of service is `island`: taken, or refused with `island-refused`. Reads go on.',
  },
};

export const BUCKET_SCHEMA = object({ name: { type: 'string' }, ...BUCKET_PROPERTIES });

const backlogSchema = (of: string): Schema => ({
  ...object({
    events: integer('Writes and deletes that the hub is not known to count.'),
    oldestSeconds: {
      type: 'number',
      description: 'For how long the oldest of them has been known to be missing there.',
    },
  }),
  description: of,
});

export const HUB_SCHEMA = object({
  address: text('The multiaddr that this node is configured with.'),
  site: text("The site's name at the hub."),
  connected: { type: 'boolean', description: 'A member that this node reaches has a session with the hub.' },
  carrying: { type: 'boolean', description: 'This node has it.' },
  problem: {
    ...nullable({ type: 'string' }),
    description: "Why this node's own last attempt to reach the hub failed; null: it did not, or there was none.",
  },
  backlog: backlogSchema('Of the shards that this node answers for.'),
  islandBacklog: backlogSchema('Of the whole island, as its leader last summed it up.'),
  lastSyncAt: {
    ...nullable({ type: 'string', format: 'date-time' }),
    description: "When the hub was last known to lack nothing of this node's; null: not since its start.",
  },
  conflicts: integer('Writes that lost against concurrent ones, as this node keeps them: see `GET /v1/conflicts`.'),
});

export const CONFLICTS_SCHEMA = object({
  conflicts: conflictsList('When the first of the members noticed.'),
  next: { ...nullable({ type: 'string' }), description: 'To be passed as `before`; null: there are no more.' },
  missing: {
    ...list({ type: 'string' }),
    description: 'Names of members that did not answer: they may know of others.',
  },
});

export const STATUS_SCHEMA = object({
  name: { type: 'string' },
  peerId: { type: 'string' },
  clusterId: { type: 'string' },
  version: { type: 'string' },
  bootEpoch: integer('Starts of this data directory that its disk remembers; for people, nothing rests on it.'),
  uptimeSeconds: { type: 'number' },
  notReady: { ...nullable({ type: 'string' }), description: 'Why the node serves no requests; null where it does.' },
  level: {
    type: 'string',
    enum: ['connected', 'degraded', 'island'],
    description: 'island: no majority of the ring is here; degraded: the hub cannot be reached.',
  },
  levelSince: {
    ...nullable({ type: 'string', format: 'date-time' }),
    description: 'Null where the clock was not set.',
  },
  leader: { ...nullable({ type: 'string' }), description: 'Name of the leader; null: this node knows of none.' },
  term: integer('Of that leader or the last one; it never falls.'),
  quorate: { type: 'boolean', description: 'The leader has a majority of the ring.' },
  members: object({ alive: integer(), suspect: integer(), dead: integer(), left: integer() }),
  ringEpoch: integer(),
  ringPlace: {
    type: 'string',
    enum: ['in', 'missing', 'out', 'removed'],
    description: "This node's own place in the ring.",
  },
  shards: object({
    owned: integer(),
    complete: integer(),
    transferring: integer(),
    behind: { type: 'integer', description: 'Owned ones of which another owner that is up has, or may have, more.' },
  }),
  disk: object({
    usedBytes: integer(),
    freeBytes: integer(),
    headroomBytes: integer(),
    readOnly: { type: 'boolean' },
    recordsLost: {
      ...nullable({ type: 'string' }),
      description:
        'How the disk lost records before this start that nobody can name; the other owners bring them back.',
    },
  }),
  scrub: object({
    running: { type: 'boolean' },
    records: integer(),
    bytes: integer(),
    lastFinishedAt: nullable({ type: 'string', format: 'date-time' }),
    corruptRecords: integer(),
  }),
  hints: {
    ...object({ records: integer(), bytes: integer(), dropped: integer() }),
    description: 'Writes that wait here for owners that are away.',
  },
  clock: {
    ...object({ offsetMs: integer(), confirmed: { type: 'boolean' } }),
    description:
      "How far ahead the machine's clock is where most nodes say that it is wrong, else 0; and whether enough of them agree on the time that is worked with.",
  },
  hub: { ...nullable(HUB_SCHEMA), description: 'As `GET /v1/hub`; null where there is no hub.' },
});

export const MEMBERS_SCHEMA = object({
  members: {
    type: 'array',
    items: object({
      name: { type: 'string' },
      peerId: { type: 'string' },
      state: { type: 'string', enum: ['alive', 'suspect', 'dead', 'left'] },
      health: {
        type: 'string',
        enum: ['healthy', 'degraded'],
        description: 'Of a dead or left member health, rttMs, missedProbes, errorRate and score are as last known.',
      },
      incarnation: integer(),
      zone: { type: 'string', description: 'The one that counts: what an operator has set, else `ownZone`.' },
      ownZone: { type: 'string', description: 'What the member itself is configured with.' },
      labels: { type: 'object', additionalProperties: { type: 'string' } },
      addresses: { type: 'array', items: { type: 'string' } },
      score: { type: 'number', description: 'Free resources, 0 to 1.' },
      rttMs: nullable({ type: 'number', description: 'Smoothed round-trip time, milliseconds.' }),
      rttEstimated: {
        type: 'boolean',
        description: 'Predicted from coordinates: this node does not probe that member.',
      },
      missedProbes: integer('Unanswered ones of the last 16 probes.'),
      errorRate: { type: 'number', description: 'Share of recent requests for data refused or answered late, 0 to 1.' },
      since: {
        ...nullable({ type: 'string', format: 'date-time' }),
        description:
          'Last change of state that this node saw; null where it has heard nothing of the member since its own start, or its clock was not set.',
      },
      self: { type: 'boolean' },
    }),
  },
});

export const LEADER_SCHEMA = object({
  leader: { ...nullable({ type: 'string' }), description: 'Name of the leader; null: this node knows of none.' },
  peerId: nullable({ type: 'string' }),
  self: { type: 'boolean', description: 'This node is the leader.' },
  term: integer('Of that leader or the last one; it never falls.'),
  quorate: {
    type: 'boolean',
    description: 'Its lease was granted by a majority of the ring: there is no other such leader.',
  },
  leaseRemainingMs: integer('For how long its lease lasts yet, as far as this node knows.'),
  fencingToken: nullable(
    integer("To be shown with whatever is done in the leader's name: of two, the higher one is the later."),
  ),
  votes: integer('Grants that the lease rests on.'),
  view: integer('Members that the leader holds alive.'),
});

const LOCK_TOKEN = 'The fencing token: each holder of this name has a higher one than all before.';

export const LOCK_SCHEMA = object({
  name: { type: 'string' },
  owner: { type: 'string' },
  token: integer(LOCK_TOKEN),
  ttlMs: integer('For how long it was acquired or renewed.'),
  expiresAt: { type: 'string', format: 'date-time', description: "By the cluster's clock." },
});

export const LOCK_STATE_SCHEMA = object({
  name: { type: 'string' },
  held: { type: 'boolean', description: 'Until a second after it expires nobody else may have it.' },
  owner: nullable({ type: 'string' }),
  token: nullable({ type: 'integer', description: `${LOCK_TOKEN} Of the last holder where it is free.` }),
  expiresAt: nullable({ type: 'string', format: 'date-time' }),
});

const MEMBER_STATE = {
  type: ['string', 'null'],
  enum: ['alive', 'suspect', 'dead', 'left', null],
};

export const ISLANDS_SCHEMA = object({
  level: { type: 'string', enum: ['connected', 'degraded', 'island'], description: 'As in `/v1/status`.' },
  levelSince: nullable({ type: 'string', format: 'date-time' }),
  components: {
    type: 'array',
    description:
      "This node's own first, then the members of the ring that it does not reach: those lost within ten seconds of each " +
      'other are one component. How they are connected among themselves a node cannot see; ask one of them.',
    items: object({
      self: { type: 'boolean', description: "This node's own: itself and whom it reaches, suspects included." },
      members: {
        type: 'array',
        items: object({
          name: { type: 'string' },
          peerId: { type: 'string' },
          state: { ...MEMBER_STATE, description: 'Null where this node knows the member from the ring alone.' },
          place: { type: 'string', enum: ['in', 'missing', 'out', 'removed'] },
          since: {
            ...nullable({ type: 'string', format: 'date-time' }),
            description:
              "Since when it has been reached, or been lost (when the suspicion began); null: not reached since this node's start, or the clock was not set.",
          },
        }),
      },
      leader: { ...nullable({ type: 'string' }), description: 'Name of the leader, as far as this node knows.' },
      term: nullable(integer('Of that leader or the last one; null beyond a cut.')),
      quorate: nullable({ type: 'boolean', description: 'The leader has a majority of the ring; null beyond a cut.' }),
      since: {
        ...nullable({ type: 'string', format: 'date-time' }),
        description:
          "Of the node's own, when somebody last came or went (suspicions count for nothing); of others, when the last of them was lost.",
      },
    }),
  },
});

const RING_MEMBER_PROPERTIES = {
  name: { type: 'string' },
  peerId: { type: 'string' },
  state: {
    ...MEMBER_STATE,
    description:
      'As this node sees it; null where it knows the member from the ring alone. Says nothing about its place.',
  },
  in: { type: 'boolean', description: 'It owns shards.' },
  place: {
    type: 'string',
    enum: ['in', 'missing', 'out', 'removed'],
    description:
      'As decided by operators, and by the leader of a member that was gone for long (`missing`, until it is back); `removed` is out for good.',
  },
  weight: { type: 'number' },
  zone: { type: 'string' },
  shards: integer('Shards that it owns.'),
};

const RING_MEMBER_SCHEMA = object(RING_MEMBER_PROPERTIES);

export const RING_CHANGE_SCHEMA = object({
  ...RING_MEMBER_PROPERTIES,
  changed: { type: 'boolean', description: 'False where all was so already, and the ring is as it was.' },
});

export const REFOUND_SCHEMA = object({
  dryRun: { type: 'boolean', description: 'True: nothing was changed.' },
  epoch: integer('Of the electorate.'),
  electors: { type: 'array', items: { type: 'string' }, description: 'Who decides about strong buckets from now on.' },
  lost: { type: 'array', items: { type: 'string' }, description: 'Who decides no more, and is removed from the ring.' },
  shards: integer('Shards of strong buckets.'),
  atRisk: integer('Of these, those that have lost a majority: the latest values of their keys may be gone.'),
  emptied: integer('Of these, those of which nobody is left: the values of their keys are gone.'),
});

export const RING_SCHEMA = object({
  epoch: integer(),
  shards: integer(),
  replicas: integer(),
  members: { type: 'array', items: RING_MEMBER_SCHEMA },
  changing: {
    ...nullable(
      object({
        shards: integer('Shards that this node has still to take over or to hand over.'),
        moved: integer('Those it has done since the ring changed.'),
      }),
    ),
    description: 'Null: this node is at rest. Each node speaks for itself.',
  },
  electorate: {
    ...nullable(
      object({
        epoch: integer('Counts its changes.'),
        electors: { type: 'array', items: { type: 'string' }, description: 'Names of those that decide.' },
        previous: {
          ...nullable({ type: 'array', items: { type: 'string' } }),
          description: 'Those before them, of whom a majority is needed as well; null: it is at rest.',
        },
      }),
    ),
    description:
      'The ring of strong buckets, as a majority of it has agreed; it follows the members that are in. Null: nobody has asked for a strong bucket yet.',
  },
  placements: {
    type: 'array',
    description: 'Placements that buckets have of their own: each has as many shards again.',
    items: object({
      replicas: integer(),
      preferredZones: { type: 'array', items: { type: 'string' } },
      buckets: { type: 'array', items: { type: 'string' }, description: 'Those that have it.' },
      members: {
        type: 'array',
        items: object({
          name: { type: 'string' },
          peerId: { type: 'string' },
          shards: integer('Shards that it owns.'),
        }),
      },
    }),
  },
});

export const LOCATE_SCHEMA = object({
  shard: integer(),
  owners: { type: 'array', items: { type: 'string' } },
  fallbacks: { type: 'array', items: { type: 'string' } },
});

export function documentInfo(version: string): object {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Holdfast',
      version,
      description:
        'Keeps a fleet of edge devices alive and consistent when networks, neighbours and the cloud fail. Any node answers ' +
        'any request. Errors are RFC 9457 problem details with a stable `code`; a request that was refused changed nothing ' +
        'unless it says `"stateChanged": "maybe"`.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    tags: [
      { name: 'Data', description: 'Keys and values.' },
      { name: 'Buckets', description: 'Namespaces of keys with their own settings.' },
      { name: 'Locks', description: 'One holder of a name at a time, for a limited time.' },
      { name: 'Cluster', description: 'The node, its neighbours and the ring.' },
      { name: 'Operation', description: 'Probes, metrics and this description.' },
    ],
  };
}
