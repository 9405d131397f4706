import { hlcWallMs } from '../../lib/hlc.ts';
import { CONFLICTS_LIMIT_MAX, type ConflictView, familyOf, type WriteView } from '../../ports/node-handle.ts';
import { integerParameter } from './query.ts';
import { integer, list, object, type Schema, text } from './schema.ts';

export const CONFLICTS_LIMIT = integerParameter(
  { min: 1, max: CONFLICTS_LIMIT_MAX, fallback: 50 },
  'Conflicts in this answer.',
);

const dateTime: Schema = { type: 'string', format: 'date-time' };

const WRITE_SCHEMA = object(
  {
    by: text('Name of the node that wrote it, its id where that is not known; `hub`: a client of a hub did.'),
    at: dateTime,
    value: { type: 'string', contentEncoding: 'base64' },
    contentType: { type: 'string' },
    leftOutBytes: integer('Length of the value, where it was too long to be kept.'),
    type: { type: 'string', enum: ['counter', 'set', 'map'], description: 'Where it is no sequence of bytes.' },
  },
  ['value', 'contentType', 'leftOutBytes', 'type'],
);

/** `noticed`: what the time of a conflict means. */
export function conflictsList(noticed: string): Schema {
  return list(
    object({
      bucket: { type: 'string' },
      key: { type: 'string' },
      at: { ...dateTime, description: noticed },
      winner: WRITE_SCHEMA,
      loser: WRITE_SCHEMA,
    }),
  );
}

export function conflictJson({ bucket, key, winner, loser, atMs }: Omit<ConflictView, 'loserKey'>): object {
  const at = new Date(atMs).toISOString();
  return { bucket, key, at, winner: writeJson(winner), loser: writeJson(loser) };
}

function writeJson({ entry: { hlc, payload }, by, leftOutBytes }: WriteView): object {
  const about = { by, at: new Date(hlcWallMs(hlc)).toISOString() };
  if (payload.kind !== 'register') return { ...about, type: familyOf(payload) };
  const { value, contentType } = payload;
  if (leftOutBytes !== null) return { ...about, contentType, leftOutBytes };
  return { ...about, value: Buffer.from(value).toString('base64'), contentType };
}
