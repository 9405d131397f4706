import type { Lane } from '../ports/transport.ts';
import { type Electorate, electorateBytes, electorateIn, type Lineage } from '../protocol/electorate/electorate.ts';
import type { FoundingRecord } from '../protocol/electorate/founding.ts';
import type { ElectorateRecord } from '../protocol/electorate/keeper.ts';
import type { ElectorateMessage } from '../protocol/electorate/message.ts';
import { boolean, bytes, type Codec, DecodeError, integer, mapped, nullable, record, text } from './codec.ts';
import { actorId } from './value.ts';

/** The byte forms of what nodes say of the electorate, and keep of it. */

type Fields<T extends ElectorateMessage['type']> = Omit<Extract<ElectorateMessage, { type: T }>, 'type'>;
type Variants = { readonly [T in ElectorateMessage['type']]: readonly [tag: number, codec: Codec<Fields<T>>] };

const ELECTORATE_BYTES_MAX = 1024 * 1024;
const FOUNDER_BYTES_MAX = 600;

const term = integer();
const lineage: Codec<Lineage> = record<Lineage>({ generation: integer(), founder: text(FOUNDER_BYTES_MAX) });

/** As the register holds it. */
const electorate: Codec<Electorate> = mapped(bytes(ELECTORATE_BYTES_MAX), electorateBytes, (value) => {
  const found = electorateIn(value);
  if (found === null) throw new DecodeError('an electorate is malformed');
  return found;
});
const acceptedElectorate = nullable(record({ term, electorate }));

export const electorateRecord: Codec<ElectorateRecord> = record<ElectorateRecord>({
  current: nullable(electorate),
  founding: record<FoundingRecord>({ promised: term, accepted: acceptedElectorate }),
});

/** For the union of all messages: tags from 110 to 119. */
export const electorateMessages: Variants = {
  'electorate-have': [110, record({ lineage, epoch: integer() })],
  'electorate-ask': [111, record({})],
  'electorate-tell': [112, record({ electorate })],
  'electorate-want': [113, record({})],
  'electorate-ready': [114, record({ lineage, epoch: integer(), ready: boolean, mute: boolean })],
  'found-ask': [115, record({ term })],
  'found-promise': [116, record({ term, accepted: acceptedElectorate })],
  'found-accept': [117, record({ term, electorate })],
  'found-accepted': [118, record({ term })],
  'electorate-disk': [119, record({ disk: actorId })],
};

/** Decisions wait for no data. */
export const ELECTORATE_LANE: Lane = 'control';
