/**
 * A process of its own that works with a store as a node does: `store-run.ts run DIRECTORY`. Prints what it met as JSON.
 * LevelDB may abort it.
 */
import { openLevelStorage } from '../../src/adapters/level/level-storage.ts';
import { runTrialTask } from '../../src/adapters/level/trial.ts';
import { RecordingLog } from './recording-log.ts';
import { rowsOf, storeKey, storeValue } from './store-rows.ts';

export interface StoreRun {
  readonly rows: number;
  readonly wrong: number;
  readonly lost: readonly string[];
}

const ROUNDS = 20;
const KEYS = 200;

async function run(directory: string): Promise<StoreRun> {
  const lost: string[] = [];
  const storage = await openLevelStorage({
    directory,
    log: new RecordingLog(),
    onCorrupt: () => undefined,
    onRecordsLost: (reason) => lost.push(reason),
    // Small, so that there is something to compact.
    writeBufferBytes: 64 * 1024,
    headroomBytes: 1,
    trialCommand: [process.execPath, import.meta.filename, 'trial'],
  });
  const rows = await rowsOf(storage);
  let wrong = rows.filter(({ key, value }) => storeValue(key) !== Buffer.from(value).toString('latin1')).length;
  for (let round = 0; round < ROUNDS; round++) {
    const keys = Array.from({ length: KEYS }, (_, i) => storeKey(round * 37 + i * 101));
    await storage.commit(keys.map((key) => ({ key, value: Buffer.from(storeValue(key), 'latin1') })));
    for (const key of keys) if (storage.read(key) === undefined) wrong++;
  }
  await storage.reclaim();
  await storage.close();
  return { rows: rows.length, wrong, lost };
}

const [task, ...args] = process.argv.slice(2);
if (task === 'trial') process.exitCode = await runTrialTask(args[0], args[1]);
else console.log(JSON.stringify(await run(args[0] as string)));
