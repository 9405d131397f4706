import { writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { startRespServer } from '../../../src/api/resp/server.ts';
import { STRONG_COMMANDS } from '../../../src/api/resp/strong/command-table.ts';
import { FakeNodeHandle } from '../../support/fake-node-handle.ts';
import { RecordingLog } from '../../support/recording-log.ts';
import {
  commandInfo,
  EXPECTATIONS_FILE,
  installedRedis,
  type RedisExpectations,
  recordedExpectations,
  runSessions,
  runStrongSessions,
  startRedis,
} from '../../support/redis-conformance.ts';
import { RespClient } from '../../support/resp-client.ts';

const REDIS = installedRedis();
/** Writes what the installed Redis 7.0 answers to the file of expectations. */
const UPDATE = process.env['UPDATE_REDIS_EXPECTATIONS'] === '1';

/** Ours that Redis 7.0 has as well; database 1 has all of them. */
const NAMES = [
  ...new Set([...STRONG_COMMANDS.values()].flatMap((spec) => [spec, ...(spec.subcommands?.values() ?? [])])),
]
  .map((spec) => spec.name)
  .filter((name) => name !== 'client|setinfo');

async function ask(port: number): Promise<Omit<RedisExpectations, 'redisVersion'>> {
  const sessions = await runSessions(port, async () => {
    const client = await RespClient.open(port);
    const keys = (await client.call('KEYS', '*')) as string[];
    if (keys.length > 0) await client.call('DEL', ...keys);
    client.close();
  });
  return { sessions, strongSessions: await runStrongSessions(port), commands: await commandInfo(port, NAMES) };
}

describe('answers as Redis 7.0 does', () => {
  test.skipIf(REDIS?.startsWith('7.0.') !== true)('the recorded answers are those of the installed Redis', async () => {
    const redis = await startRedis();
    try {
      const answers = await ask(redis.port);
      if (UPDATE) writeFileSync(EXPECTATIONS_FILE, `${JSON.stringify({ redisVersion: REDIS, ...answers }, null, 2)}\n`);
      const recorded = recordedExpectations();
      expect(answers.sessions).toEqual(recorded.sessions);
      expect(answers.strongSessions).toEqual(recorded.strongSessions);
      expect(answers.commands).toEqual(recorded.commands);
    } finally {
      await redis.stop();
    }
  });

  test('byte for byte, command by command', async () => {
    const recorded = recordedExpectations();
    const node = new FakeNodeHandle();
    const server = await startRespServer({
      node,
      host: '127.0.0.1',
      port: 0,
      log: new RecordingLog(),
      version: '0.0.0',
    });
    try {
      const answers = await ask(server.port);
      expect(answers.sessions).toEqual(recorded.sessions);
      expect(answers.strongSessions).toEqual(recorded.strongSessions);
      expect(answers.commands).toEqual(recorded.commands);
    } finally {
      await server.close();
    }
  });
});
