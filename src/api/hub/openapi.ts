import { conflictsList } from '../http/conflict.ts';
import { integer, list, nullable, object, type Schema, text } from '../http/schema.ts';

const dateTime: Schema = { type: 'string', format: 'date-time' };

const SITE_NAME_TEXT = text('Name of the site.');

export const SITE_PARAMS = object({ site: SITE_NAME_TEXT });
export const SITE_BUCKET_PARAMS = object({ site: SITE_NAME_TEXT, bucket: text('Name of the bucket.') });
export const SITE_KEY_PARAMS = object({
  site: SITE_NAME_TEXT,
  bucket: text('Name of the bucket.'),
  key: text('1 to 1024 bytes of UTF-8, percent-encoded where the URL needs it; slashes may stand as they are.'),
});

const BACKLOG_SCHEMA = object({
  events: integer('Writes and deletes.'),
  oldestSeconds: { type: 'number', description: 'For how long the oldest of them has been known to be missing there.' },
});

export const UPLINK_SCHEMA = object({
  address: text('Of the hub above.'),
  site: text('What this hub is called there.'),
  connected: { type: 'boolean', description: 'Each site of this hub has its session there.' },
  carrying: { type: 'boolean', description: 'Some site has one, by this process.' },
  problem: { ...nullable({ type: 'string' }), description: 'Why the last attempt of some site failed.' },
  backlog: { ...BACKLOG_SCHEMA, description: 'What is here and the hub above is not known to count.' },
  islandBacklog: { ...BACKLOG_SCHEMA, description: 'With what the sites have told that is not even here yet.' },
  lastSyncAt: {
    ...nullable(dateTime),
    description: 'When the hub above was last known to lack nothing that is here; null: not since the start.',
  },
});

export const HUB_STATUS_SCHEMA = object({
  name: { type: 'string' },
  peerId: { type: 'string' },
  version: { type: 'string' },
  uptimeSeconds: { type: 'number' },
  store: { type: 'string', enum: ['embedded', 'postgres'] },
  addresses: { ...list({ type: 'string' }), description: 'Where nodes of sites connect.' },
  sites: integer(),
  sessions: integer('Of sites with this process.'),
  hub: { ...nullable(UPLINK_SCHEMA), description: 'As `GET /v1/hub`; null where there is no hub above.' },
});

const SITE_PROPERTIES = {
  name: { type: 'string' },
  createdAt: dateTime,
  clusterId: {
    ...nullable({ type: 'string' }),
    description: 'Null until it has connected for the first time, and of a hub.',
  },
  connected: {
    type: 'boolean',
    description:
      'It, or a site of it where it is a hub, has a session with this process; one with another process of the same database is not seen.',
  },
  lastSeenAt: {
    ...nullable(dateTime),
    description: 'When it was last connected to any hub of the database, to within a minute.',
  },
};

export const SITES_SCHEMA = object({ sites: list(object(SITE_PROPERTIES)) });

export const NEW_SITE_SCHEMA = object({
  name: { type: 'string' },
  token: text('For the nodes of the site (`--hub-token-file`). The hub does not keep it, and shows it this once.'),
});

export const SITE_SCHEMA = object({
  ...SITE_PROPERTIES,
  sessions: {
    ...list(
      object({
        peerId: text('Of the node at the other end.'),
        since: dateTime,
        island: {
          ...nullable(
            object({
              leader: nullable({ type: 'string' }),
              quorate: { type: 'boolean' },
              members: list({ type: 'string' }),
            }),
          ),
          description: 'Those that the node speaks for; null until it has told.',
        },
        backlogEvents: {
          ...nullable(integer()),
          description: 'Events of the site that the hub is not known to have yet, as the node has told last.',
        },
        oldestSeconds: { ...nullable({ type: 'number' }), description: 'Age of the oldest of them.' },
        sentBytes: integer('By the hub, on the wire.'),
        receivedBytes: integer(),
      }),
    ),
    description: 'With this process. One for each island of the site that reaches the hub.',
  },
  keys: integer('Keys that have a value here.'),
  conflicts: integer('Writes that lost against concurrent ones.'),
});

export const SITE_BUCKETS_SCHEMA = object({
  buckets: list(
    object({
      name: { type: 'string' },
      sync: { type: 'string', enum: ['up', 'down', 'both'], description: '`up`: from the site to the hub.' },
      conflict: { type: 'string', enum: ['lww', 'siblings'] },
      ttlSeconds: nullable(integer('Default time to live of values; null: for ever.')),
    }),
  ),
});

export const SHARES_SCHEMA = object({
  shares: list(
    object({
      from: text('The site that gives it.'),
      bucket: text('Both sites have it by this name.'),
      to: text('The site that is given it.'),
      createdAt: dateTime,
      checkedAt: {
        ...nullable(dateTime),
        description: 'When this process has last compared all keys, and made them alike; null: not yet.',
      },
      problem: { ...nullable({ type: 'string' }), description: 'Why nothing is copied now; null: it is.' },
    }),
  ),
});

export const CONFLICTS_SCHEMA = object({
  conflicts: conflictsList('When the hub noticed.'),
  next: { ...nullable(integer()), description: 'To be passed as `before`; null: there are no more.' },
});

export function hubDocumentInfo(version: string): object {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Holdfast hub',
      version,
      description:
        'What sites exchange with their hub: read and write it here, also while they are away. What is written waits for them. ' +
        'Errors are RFC 9457 problem details with a stable `code`; a request that was refused changed nothing unless it ' +
        'says `"stateChanged": "maybe"`.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    tags: [
      { name: 'Sites', description: 'Clusters that exchange buckets with this hub.' },
      { name: 'Data', description: 'Keys and values of a site.' },
      { name: 'Operation', description: 'The hub, probes, metrics and this description.' },
    ],
  };
}
