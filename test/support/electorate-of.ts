import { founded } from '../../src/protocol/electorate/electorate.ts';
import { NO_FOUNDING } from '../../src/protocol/electorate/founding.ts';
import type { ElectorateRecord } from '../../src/protocol/electorate/keeper.ts';

/** What a disk says where these have decided under this epoch. */
export function electorateOf(epoch: number, ids: readonly string[] = ['n1']): ElectorateRecord {
  const electors = ids.map((id) => ({ id, weight: 1, zone: '', disk: '00000000000000aa' }));
  const current = { ...founded('1.n1', { shards: 16, replicas: 3, electors }), epoch };
  return { current, founding: NO_FOUNDING };
}
