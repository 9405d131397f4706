import { HttpClient } from '../../test/support/http-client.ts';
import { placeEtcd, untilHealthy } from './etcd.ts';
import { type Program, placeNodes, untilFormed } from './holdfast.ts';
import type { Started } from './processes.ts';
import { type Ground, LOOPBACK } from './system.ts';

const ANSWER_TIMEOUT_MS = 1_000;

/** Who leads, as a member knows. */
export interface Lead {
  /** The member itself, as leaders are named. */
  readonly self: string;
  /** Null: it knows of none, or of none with a majority. */
  readonly leader: string | null;
}

export interface Voter {
  readonly name: string;
  readonly url: string;
  /** Starts it, also again on the data that it has. */
  readonly start: () => Started;
  /** Rejects where it does not answer. */
  readonly lead: () => Promise<Lead>;
  /** Writes a key through this member; true where that is acknowledged. */
  readonly write: (key: string) => Promise<boolean>;
}

/** A cluster whose members elect a leader. */
export interface Electorate {
  readonly system: 'holdfast' | 'etcd';
  readonly voters: readonly Voter[];
  /** Nothing is going on that would disturb a measurement. */
  readonly untilSettled: () => Promise<void>;
}

/** Leaders that count are quorate; writes are quorum writes, or strong ones, which take no leader. */
export async function holdfastElectorate(
  ground: Ground,
  count: number,
  program: Program,
  bucket: 'default' | 'strong' = 'default',
): Promise<Electorate> {
  const query = bucket === 'strong' ? '' : '?w=quorum';
  const nodes = await placeNodes(ground, count, program);
  const voters = nodes.map(({ name, url, start }): Voter => {
    const client = new HttpClient(url);
    return {
      name,
      url,
      start,
      async lead() {
        const { text } = await client.send('GET', '/v1/leader', { timeoutMs: ANSWER_TIMEOUT_MS });
        const { leader, quorate } = JSON.parse(text) as { leader: string | null; quorate: boolean };
        return { self: name, leader: quorate ? leader : null };
      },
      async write(key) {
        const put = { body: 'value', timeoutMs: ANSWER_TIMEOUT_MS };
        return (await client.send('PUT', `/v1/kv/${bucket}/${key}${query}`, put)).status === 204;
      },
    };
  });
  return { system: 'holdfast', voters, untilSettled: () => untilFormed(ground.processes, nodes) };
}

/** Three members with their own defaults: heartbeats each 100 ms, elections after 1000 to 2000 ms without one. */
export async function etcdElectorate(ground: Ground): Promise<Electorate> {
  const members = await placeEtcd(ground);
  const voters = members.map(({ name, clientPort, start }): Voter => {
    const url = `http://${LOOPBACK}:${clientPort}`;
    const client = new HttpClient(url);
    return {
      name,
      url,
      start,
      async lead() {
        const { text } = await client.send('POST', '/v3/maintenance/status', {
          body: '{}',
          timeoutMs: ANSWER_TIMEOUT_MS,
        });
        const { header, leader } = JSON.parse(text) as { header: { member_id: string }; leader?: string };
        return { self: header.member_id, leader: leader ?? null };
      },
      async write(key) {
        const body = JSON.stringify({ key: Buffer.from(key).toString('base64'), value: 'dmFsdWU=' });
        return (await client.send('POST', '/v3/kv/put', { body, timeoutMs: ANSWER_TIMEOUT_MS })).status === 200;
      },
    };
  });
  return { system: 'etcd', voters, untilSettled: () => untilHealthy(ground.processes, members) };
}
