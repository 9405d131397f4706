import { type Command, InvalidArgumentError, Option } from 'commander';
import { ZONE_NAME, ZONE_NAME_EXPECTED } from '../../lib/zone-name.ts';
import { bucketPath } from '../client.ts';
import type { CliContext } from '../context.ts';
import { examples, ttlOption, wholeNumber } from '../options.ts';
import { openSession } from '../session.ts';
import { BUCKETS, type Bucket, ONE_BUCKET, readShape } from '../shapes.ts';
import { fieldsText, tableText } from '../table.ts';
import { durationText, printable } from '../text.ts';

const PATH = '/v1/buckets';
const HEAD = ['NAME', 'CONSISTENCY', 'CONFLICT', 'REPLICAS', 'ZONES', 'SYNC', 'TTL', 'ISLAND'];
const ZONES_MAX = 8;

interface CreateOptions {
  readonly consistency: string;
  readonly conflict: string;
  readonly replicas?: number;
  readonly preferredZones?: readonly string[];
  readonly sync: string;
  readonly ttl?: number;
  readonly island: string;
}

export function addBucketCommand(program: Command, context: CliContext): void {
  const bucket = program.command('bucket').description('list, create and show buckets');
  addList(bucket, context);
  addCreate(bucket, context);
  addShow(bucket, context);
}

function addList(bucket: Command, context: CliContext): void {
  bucket
    .command('list')
    .description('list the buckets')
    .addHelpText('after', examples('holdfast bucket list'))
    .action(async (_options, command: Command) => {
      const { client, terminal, json } = openSession(command, context);
      const answer = await client.json(PATH);
      if (json) return terminal.json(answer);
      const rows = readShape(BUCKETS, answer).buckets.map((one) => [
        printable(one.name),
        printable(one.consistency),
        printable(one.conflict),
        String(one.replicas),
        zonesText(one),
        printable(one.sync),
        ttlText(one),
        printable(one.island ?? 'accept'),
      ]);
      return terminal.line(tableText(terminal, HEAD, rows, ['REPLICAS']));
    });
}

function addCreate(bucket: Command, context: CliContext): void {
  bucket
    .command('create')
    .description('create a bucket; done as well when it exists with the same settings')
    .argument('<name>', 'name of the bucket')
    .addOption(
      new Option('--consistency <kind>', 'strong: the latest value for all, and conditional writes; needs a majority')
        .choices(['eventual', 'strong'])
        .default('eventual'),
    )
    .addOption(
      new Option('--conflict <policy>', 'concurrent writes: lww keeps the latest, siblings keeps all')
        .choices(['lww', 'siblings'])
        .default('lww'),
    )
    .addOption(
      new Option('--replicas <n>', 'copies of each key (default: as the cluster is configured)').argParser(
        wholeNumber(1, 7),
      ),
    )
    .addOption(
      new Option(
        '--preferred-zones <zones>',
        'zones whose members hold the copies as far as there are enough: a,b',
      ).argParser(zonesOf),
    )
    .addOption(
      new Option('--sync <direction>', 'exchange with a hub').choices(['none', 'up', 'down', 'both']).default('none'),
    )
    .addOption(ttlOption('values expire after so many seconds (default: never)'))
    .addOption(
      new Option('--island <policy>', 'writes at a node that reaches no majority of the ring')
        .choices(['accept', 'refuse'])
        .default('accept'),
    )
    .addHelpText(
      'after',
      examples(
        'holdfast bucket create readings --ttl 86400 --sync up',
        'holdfast bucket create carts --conflict siblings',
        'holdfast bucket create settings --consistency strong',
        'holdfast bucket create orders --island refuse',
        'holdfast bucket create camera --replicas 2 --preferred-zones hall-1',
      ),
    )
    .action(async (name: string, options: CreateOptions, command: Command) => {
      const { client, terminal, json } = openSession(command, context);
      const { consistency, conflict, replicas, preferredZones, sync, ttl, island } = options;
      const placement = { replicas, preferredZones };
      const settings = { consistency, conflict, ...placement, sync, ttlSeconds: ttl ?? null, island };
      const body = JSON.stringify(settings);
      const headers = { 'Content-Type': 'application/json' };
      const answer = await client.json(bucketPath(PATH, name), { method: 'PUT', headers, body });
      await (json ? terminal.json(answer) : terminal.line(`bucket ${printable(name)} is there`));
    });
}

function addShow(bucket: Command, context: CliContext): void {
  bucket
    .command('show')
    .description('show the settings of a bucket')
    .argument('<name>', 'name of the bucket')
    .addHelpText('after', examples('holdfast bucket show default'))
    .action(async (name: string, _options, command: Command) => {
      const { client, terminal, json } = openSession(command, context);
      const answer = await client.json(bucketPath(PATH, name));
      if (json) return terminal.json(answer);
      const one = readShape(ONE_BUCKET, answer);
      return terminal.line(
        fieldsText(terminal, [
          ['name', printable(one.name)],
          ['consistency', printable(one.consistency)],
          ['conflict', printable(one.conflict)],
          ['replicas', String(one.replicas)],
          ['preferred zones', zonesText(one)],
          ['sync', printable(one.sync)],
          ['ttl', ttlText(one)],
          ['in an island', one.island === 'refuse' ? 'writes are refused' : 'writes are taken'],
        ]),
      );
    });
}

function zonesText({ preferredZones = [] }: Bucket): string {
  return preferredZones.length === 0 ? '-' : preferredZones.map(printable).join(', ');
}

function zonesOf(text: string): string[] {
  const zones = text.split(',').map((zone) => zone.trim());
  if (zones.every((zone) => ZONE_NAME.test(zone)) && zones.length <= ZONES_MAX) return zones;
  throw new InvalidArgumentError(
    `Name up to ${ZONES_MAX} zones with commas between them, each of ${ZONE_NAME_EXPECTED}.`,
  );
}

function ttlText({ ttlSeconds }: Bucket): string {
  return ttlSeconds === null ? 'never' : durationText(ttlSeconds);
}
