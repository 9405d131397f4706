import process from 'node:process';
import type { CommandCall, RespServices } from '../command.ts';
import { type Reply, VerbatimReply } from '../reply.ts';
import { isSubscribed } from '../session.ts';
import { REDIS_VERSION } from './connection.ts';

type Fields = readonly (readonly [string, string | number])[];

/** In the order of INFO; `everything` and `all` show them all, as does no argument. */
const SECTIONS: readonly (readonly [string, (services: RespServices) => Fields | Promise<Fields>])[] = [
  ['Server', serverFields],
  ['Clients', clientsFields],
  ['Memory', memoryFields],
  ['Persistence', persistenceFields],
  ['Stats', statsFields],
  [
    'Replication',
    () => [
      ['role', 'master'],
      ['connected_slaves', 0],
    ],
  ],
  ['CPU', cpuFields],
  ['Cluster', () => [['cluster_enabled', 0]]],
  ['Keyspace', () => []],
  ['Holdfast', holdfastFields],
];

const EVERYTHING: ReadonlySet<string> = new Set(['all', 'default', 'everything']);

/** Keyspace stays empty: counting the keys is a listing of the whole cluster, which DBSIZE does when asked. */
export async function handleInfo({ services, args }: CommandCall): Promise<Reply> {
  const wanted = new Set(args.slice(1).map((arg) => arg.toString('latin1').toLowerCase()));
  const all = wanted.size === 0 || [...wanted].some((name) => EVERYTHING.has(name));
  const texts: string[] = [];
  for (const [name, fields] of SECTIONS) {
    if (!all && !wanted.has(name.toLowerCase())) continue;
    const lines = (await fields(services)).map(([field, value]) => `${field}:${value}\r\n`);
    texts.push(`# ${name}\r\n${lines.join('')}`);
  }
  return new VerbatimReply(texts.join('\r\n'));
}

function serverFields(services: RespServices): Fields {
  const uptimeSeconds = Math.floor((performance.now() - services.startedAtMs) / 1000);
  return [
    ['redis_version', REDIS_VERSION],
    ['redis_mode', 'standalone'],
    ['holdfast_version', services.version],
    ['os', process.platform],
    ['arch_bits', process.arch.includes('64') ? 64 : 32],
    ['process_id', process.pid],
    ['tcp_port', services.port()],
    ['uptime_in_seconds', uptimeSeconds],
    ['uptime_in_days', Math.floor(uptimeSeconds / 86_400)],
  ];
}

function clientsFields(services: RespServices): Fields {
  return [
    ['connected_clients', [...services.sessions()].length],
    ['maxclients', services.limits.clientsMax],
    ['blocked_clients', 0],
    ['pubsub_clients', [...services.sessions()].filter(isSubscribed).length],
  ];
}

function memoryFields(): Fields {
  const { heapUsed, external, rss } = process.memoryUsage();
  return [
    ['used_memory', heapUsed + external],
    ['used_memory_rss', rss],
    ['maxmemory', 0],
    ['maxmemory_policy', 'noeviction'],
  ];
}

/** `loading:1` makes clients wait until the node serves requests. */
function persistenceFields(services: RespServices): Fields {
  const loading = services.node.ready ? 0 : 1;
  const eta: Fields = loading === 1 ? [['loading_eta_seconds', 1]] : [];
  return [['loading', loading], ...eta, ['aof_enabled', 1]];
}

function statsFields({ stats, subscriptions }: RespServices): Fields {
  return [
    ['total_connections_received', stats.connections],
    ['total_commands_processed', stats.commands],
    ['rejected_connections', stats.rejectedConnections],
    ['pubsub_channels', subscriptions.channelCount],
    ['pubsub_patterns', subscriptions.patternCount],
    ['client_output_buffer_limit_disconnections', stats.slowClients],
  ];
}

function cpuFields(): Fields {
  const { user, system } = process.cpuUsage();
  return [
    ['used_cpu_sys', (system / 1e6).toFixed(6)],
    ['used_cpu_user', (user / 1e6).toFixed(6)],
  ];
}

async function holdfastFields({ node, stats }: RespServices): Promise<Fields> {
  const status = await node.status();
  return [
    ['node_name', status.name],
    ['peer_id', status.peerId],
    ['service_level', status.level],
    ['incomplete_reads', stats.incompleteReads],
    ['ring_epoch', status.ringEpoch],
    ...Object.entries(status.members).map(([state, count]): [string, number] => [`members_${state}`, count]),
  ];
}
