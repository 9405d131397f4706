import type { Command } from 'commander';
import type { z } from 'zod';
import { isBelow } from '../../lib/site-name.ts';
import { sizeText } from '../../lib/size-text.ts';
import { HUB_API } from '../api-target.ts';
import { sitePath } from '../client.ts';
import type { CliContext } from '../context.ts';
import { CliError } from '../errors.ts';
import { readLines } from '../line-reader.ts';
import { examples } from '../options.ts';
import { openSession, type Session } from '../session.ts';
import { NEW_SITE, readShape, SHARES, SITE, SITE_BUCKETS, SITES, type Site } from '../shapes.ts';
import { fieldsText, tableText } from '../table.ts';
import type { Terminal } from '../terminal.ts';
import { agoText, durationText, plural, printable } from '../text.ts';
import { TokenFile } from '../token-file.ts';

const PATH = '/v1/sites';
const NAMES_MAX = 5;
const HEAD = ['NAME', 'CONNECTED', 'LAST SEEN', 'CLUSTER', 'CREATED'];
const SESSION_HEAD = ['LEADER', 'MEMBERS', 'WAITING', 'OLDEST', 'SINCE', 'SENT', 'RECEIVED', 'PEER'];
const SHARE_HEAD = ['FROM', 'SHARED', 'TO', 'CHECKED', 'PROBLEM'];
const BUCKET_HEAD = ['BUCKET', 'SYNC', 'CONFLICT', 'TTL'];

const COLUMNS = `
Columns:
  CONNECTED  it has a session with the hub that is asked; a hub: one of its sites has, which are sites of their own, HUB:SITE
  LAST SEEN  when it was last connected, to any hub of the same database
  CLUSTER    the cluster that it was when it first connected; no other one can be this site`;
const SESSION_COLUMNS = `
A session speaks for an island of the site: the members that reach each other. Columns:
  LEADER     of the island; with (minority) where it has no majority of the ring
  WAITING    writes that the hub is not known to have, as the node at the other end has told last
  OLDEST     how long the oldest of them has been waiting
  SENT       by the hub, on the wire`;
const SHARED = `
The other site gets what changes within a second or two, and learns nothing else. Values are given as they are shown: of a
counter its sum, of a set or map its JSON. What is written into its bucket at the hub is replaced within ten minutes.
\`holdfast site show\` tells how it goes.`;
const WAITING = `
The nodes of the site go on as they do without a hub, and what they write waits, until they are started with the new token: one after
the other is fine. Where the site is a hub, that is started with it, and its sites wait until then.`;
const TOKEN_NOTE =
  'this is the token of the site; it is shown this once. Start its nodes with --hub and --hub-token-file';

interface AddOptions {
  readonly tokenFile?: string;
}

interface SureOptions {
  readonly yes?: boolean;
}

export function addSiteCommand(program: Command, context: CliContext): void {
  const site = program
    .command('site')
    .description('list, add, show and remove the sites of a hub; replace their tokens; share buckets between them');
  addList(site, context);
  addAdd(site, context);
  addShow(site, context);
  addToken(site, context);
  addShareCommand(site, context);
  addUnshare(site, context);
  addRemove(site, context);
}

function addList(site: Command, context: CliContext): void {
  site
    .command('list')
    .description('list the sites')
    .addHelpText('after', COLUMNS)
    .addHelpText('after', examples('holdfast site list', "holdfast site list --json | jq -r '.sites[].name'"))
    .action(async (_options, command: Command) => {
      const { client, terminal, json } = openSession(command, context, HUB_API);
      const answer = await client.json(PATH);
      if (json) return terminal.json(answer);
      const rows = readShape(SITES, answer, HUB_API).sites.map((one) => [
        printable(one.name),
        connectedText(terminal, one.connected),
        one.lastSeenAt === null ? 'never' : agoText(one.lastSeenAt, context.now()),
        printable(one.clusterId ?? (one.lastSeenAt === null ? '-' : 'a hub')),
        agoText(one.createdAt, context.now()),
      ]);
      return terminal.line(tableText(terminal, HEAD, rows));
    });
}

function addAdd(site: Command, context: CliContext): void {
  site
    .command('add')
    .description('add a site and print its token, which its nodes show to the hub')
    .argument('<name>', 'name of the site')
    .option(
      '--token-file <file>',
      'write the token to a new file that nobody else may read, and print nothing; where the file holds the token of the site already, only look whether the hub has the site',
    )
    .addHelpText(
      'after',
      examples(
        '(umask 077; holdfast site add hall-2 > token)',
        'holdfast site add hall-2 --token-file token',
        'holdfast start --secret-file secret --hub /dns4/hub.example.com/tcp/7500 --hub-token-file token',
      ),
    )
    .action(async (name: string, { tokenFile }: AddOptions, command: Command) => {
      const session = openSession(command, context, HUB_API);
      const { terminal, json } = session;
      if (tokenFile !== undefined) return addToFile(session, name, new TokenFile(tokenFile, context.cwd));
      const answer = await addSite(session, name);
      if (json) return terminal.json(answer);
      await terminal.line(printable(readShape(NEW_SITE, answer, HUB_API).token));
      return terminal.note(TOKEN_NOTE);
    });
}

async function addSite({ client }: Session, name: string): Promise<unknown> {
  const headers = { 'Content-Type': 'application/json' };
  return client.json(PATH, { method: 'POST', headers, body: JSON.stringify({ name }) });
}

/** May be repeated, as by what sets up machines. */
async function addToFile(session: Session, name: string, file: TokenFile): Promise<void> {
  const { client, terminal, json } = session;
  const holder = await file.site();
  if (holder !== null && holder !== name) {
    const cause = `${printable(file.name)} holds the token of ${printable(holder)}, not of ${printable(name)}`;
    throw new CliError(`${cause} — name another file`);
  }
  if (holder === null) {
    await file.fill(async () => readShape(NEW_SITE, await addSite(session, name), HUB_API).token);
  } else {
    await client.json(sitePath(name));
  }
  if (json) return terminal.json({ name, tokenFile: file.name, added: holder === null });
  return terminal.note(
    holder === null
      ? `the site ${printable(name)} is added, its token is in ${printable(file.name)}`
      : `${printable(file.name)} holds the token of ${printable(name)} already`,
  );
}

function addShow(site: Command, context: CliContext): void {
  site
    .command('show')
    .description('show a site: its sessions, what waits to come up, its buckets, what it gives to others and is given')
    .argument('<name>', 'name of the site')
    .addHelpText('after', SESSION_COLUMNS)
    .addHelpText('after', examples('holdfast site show hall-2', 'holdfast site show hall-2 --json | jq .sessions'))
    .action(async (name: string, _options, command: Command) => {
      const { client, terminal, json } = openSession(command, context, HUB_API);
      const path = sitePath(name);
      const answer = Object(await client.json(path)) as Record<string, unknown>;
      const buckets = await client.json(`${path}/buckets`);
      const shares = await client.json(`${path}/shares`);
      if (json) return terminal.json({ ...answer, ...Object(buckets), ...Object(shares) });
      const one = readShape(SITE, answer, HUB_API);
      const parts = [
        siteText(terminal, one, context.now()),
        sessionsText(terminal, one, context.now()),
        bucketsText(terminal, readShape(SITE_BUCKETS, buckets, HUB_API)),
        sharesText(terminal, readShape(SHARES, shares, HUB_API), context.now()),
      ];
      return terminal.line(parts.filter((part) => part !== '').join('\n\n'));
    });
}

function addToken(site: Command, context: CliContext): void {
  site
    .command('token')
    .description('print a new token of a site, in place of the one that it has: where that is lost, or others know it')
    .argument('<name>', 'name of the site')
    .option('--yes', 'it is meant')
    .addHelpText('after', WAITING)
    .addHelpText('after', examples('(umask 077; holdfast site token hall-2 --yes > token)'))
    .action(async (name: string, { yes }: SureOptions, command: Command) => {
      const session = openSession(command, context, HUB_API);
      const { client, terminal, json } = session;
      const path = sitePath(name);
      if (yes !== true) {
        const lines = replacing(readShape(SITE, await client.json(path), HUB_API));
        await confirm(session, name, lines, 'Replace its token?');
      }
      const answer = await client.json(`${path}/token`, { method: 'POST' });
      if (json) return terminal.json(answer);
      await terminal.line(printable(readShape(NEW_SITE, answer, HUB_API).token));
      return terminal.note(TOKEN_NOTE);
    });
}

function addShareCommand(site: Command, context: CliContext): void {
  site
    .command('share')
    .description('give a bucket of one site to another, whose bucket of that name says the same from now on')
    .argument('<from>', 'name of the site that has the bucket')
    .argument('<bucket>', 'name of the bucket at both sites; at the other one it needs --sync down')
    .argument('<to>', 'name of the site that is given it')
    .addHelpText('after', SHARED)
    .addHelpText('after', examples('holdfast site share head-office prices hall-2'))
    .action(async (from: string, bucket: string, to: string, _options, command: Command) => {
      const { client, terminal, json } = openSession(command, context, HUB_API);
      const headers = { 'Content-Type': 'application/json' };
      await client.request(sharePath(to, bucket), { method: 'PUT', headers, body: JSON.stringify({ from }) });
      if (json) return terminal.json({ from, bucket, to, shared: true });
      await terminal.line(`${printable(to)} is given ${printable(bucket)} of ${printable(from)}`);
      const { buckets } = readShape(SITE_BUCKETS, await client.json(`${sitePath(to)}/buckets`), HUB_API);
      if (buckets.some(({ name }) => name === bucket)) return;
      return terminal.note(
        `${printable(to)} exchanges no bucket ${printable(bucket)} yet: it is filled once a node there has created it with --sync down`,
      );
    });
}

function addUnshare(site: Command, context: CliContext): void {
  site
    .command('unshare')
    .description('give a bucket to a site no longer; it keeps what it was given')
    .argument('<bucket>', 'name of the bucket')
    .argument('<to>', 'name of the site that is given it')
    .addHelpText('after', examples('holdfast site unshare prices hall-2'))
    .action(async (bucket: string, to: string, _options, command: Command) => {
      const { client, terminal, json } = openSession(command, context, HUB_API);
      await client.request(sharePath(to, bucket), { method: 'DELETE' });
      if (json) return terminal.json({ bucket, to, shared: false });
      return terminal.line(`${printable(to)} is not given ${printable(bucket)} any more`);
    });
}

function sharePath(to: string, bucket: string): string {
  return `${sitePath(to)}/shares/${encodeURIComponent(bucket)}`;
}

function addRemove(site: Command, context: CliContext): void {
  site
    .command('remove')
    .description('remove a site with all that the hub keeps of it; its nodes keep their own data')
    .argument('<name>', 'name of the site')
    .option('--yes', 'it is meant')
    .addHelpText('after', examples('holdfast site remove hall-2'))
    .action(async (name: string, { yes }: SureOptions, command: Command) => {
      const session = openSession(command, context, HUB_API);
      const { client, terminal, json } = session;
      const path = sitePath(name);
      if (yes !== true) await confirm(session, name, removing(await stakeOf(session, name)), 'Remove it?');
      await client.request(path, { method: 'DELETE', query: { confirm: name } });
      await (json ? terminal.json({ name, removed: true }) : terminal.line(`the site ${printable(name)} is gone`));
    });
}

interface Stake {
  readonly name: string;
  /** Of a hub: its own sites, which go with it. */
  readonly below: readonly string[];
  readonly keys: number;
}

/** What would be gone with a site. */
async function stakeOf({ client }: Session, name: string): Promise<Stake> {
  const read = async (site: string): Promise<Site> => readShape(SITE, await client.json(sitePath(site)), HUB_API);
  let { keys } = await read(name);
  const { sites } = readShape(SITES, await client.json(PATH), HUB_API);
  const below = sites.map((site) => site.name).filter((site) => isBelow(site, name));
  for (const site of below) keys += (await read(site)).keys;
  return { name, below, keys };
}

function removing({ name, below, keys }: Stake): string[] {
  const shown = printable(name);
  const sites = below.length === 0 ? '' : ` and ${plural(below.length, 'site')} of it (${namesText(below)})`;
  return [
    `${plural(keys, 'key')} of ${shown}${sites} would be gone at the hub, and its token worth nothing`,
    'what was written at the hub and its nodes have not got yet would be lost; they keep their own data',
  ];
}

function replacing({ name, connected }: Site): string[] {
  const nodes = connected ? 'its nodes, which are connected,' : 'its nodes';
  return [
    `the token of ${printable(name)} would be worth nothing, and ${nodes} would wait until they are started with the new one`,
    'they go on meanwhile, and nothing is lost',
  ];
}

/** Returns where it is meant. `lines`: what it would do. */
async function confirm(
  { context, terminal, json }: Session,
  name: string,
  lines: readonly string[],
  question: string,
): Promise<void> {
  if (json || !terminal.isTTY) {
    throw new CliError([...lines, 'nothing was changed — repeat with --yes if it is meant'], 'bad-usage');
  }
  await terminal.write(`${lines.join('\n')}\n\n${question} Type ${printable(name)}: `);
  for await (const line of readLines(context.stdin)) {
    if (line.trim() === name) return;
    break;
  }
  throw new CliError(`nothing was changed — the answer was not ${printable(name)}`, 'failed');
}

function namesText(names: readonly string[]): string {
  const shown = names.slice(0, NAMES_MAX).map(printable).join(', ');
  return names.length > NAMES_MAX ? `${shown}, …` : shown;
}

function siteText(terminal: Terminal, site: Site, nowMs: number): string {
  return fieldsText(terminal, [
    ['name', printable(site.name)],
    ['cluster', clusterText(site)],
    ['connected', connectedText(terminal, site.connected)],
    ['last seen', site.lastSeenAt === null ? 'never' : agoText(site.lastSeenAt, nowMs)],
    ['created', agoText(site.createdAt, nowMs)],
    ['keys', String(site.keys)],
    ['conflicts', String(site.conflicts)],
  ]);
}

/** A hub has no session of its own, and is seen with its sites. */
function clusterText({ name, clusterId, lastSeenAt }: Site): string {
  if (clusterId !== null) return printable(clusterId);
  return lastSeenAt === null ? 'it has never connected' : `none: it is a hub, whose sites are ${printable(name)}:…`;
}

function sessionsText(terminal: Terminal, { sessions }: Site, nowMs: number): string {
  if (sessions.length === 0) return '';
  const rows = sessions.map(({ island, backlogEvents, oldestSeconds, since, sentBytes, receivedBytes, peerId }) => [
    leaderText(terminal, island),
    island === null ? '-' : island.members.map(printable).join(', '),
    backlogEvents === null ? '-' : String(backlogEvents),
    oldestSeconds === null || backlogEvents === 0 ? '-' : durationText(oldestSeconds),
    agoText(since, nowMs),
    sizeText(sentBytes),
    sizeText(receivedBytes),
    printable(peerId),
  ]);
  return tableText(terminal, SESSION_HEAD, rows, ['WAITING', 'SENT', 'RECEIVED']);
}

function leaderText(terminal: Terminal, island: Site['sessions'][number]['island']): string {
  if (island === null) return '-';
  const minority = island.quorate ? '' : terminal.colour('yellow', ' (minority)');
  return `${printable(island.leader ?? '-')}${minority}`;
}

function bucketsText(terminal: Terminal, { buckets }: z.infer<typeof SITE_BUCKETS>): string {
  if (buckets.length === 0) return '';
  const rows = buckets.map(({ name, sync, conflict, ttlSeconds }) => [
    printable(name),
    printable(sync),
    printable(conflict),
    ttlSeconds === null ? 'never' : durationText(ttlSeconds),
  ]);
  return tableText(terminal, BUCKET_HEAD, rows);
}

function sharesText(terminal: Terminal, { shares }: z.infer<typeof SHARES>, nowMs: number): string {
  if (shares.length === 0) return '';
  const rows = shares.map(({ from, bucket, to, checkedAt, problem }) => [
    printable(from),
    printable(bucket),
    printable(to),
    checkedAt === null ? 'not yet' : agoText(checkedAt, nowMs),
    problem === null ? '-' : terminal.colour('yellow', printable(problem)),
  ]);
  return tableText(terminal, SHARE_HEAD, rows);
}

function connectedText(terminal: Terminal, connected: boolean): string {
  return connected ? terminal.colour('green', 'yes') : terminal.colour('yellow', 'no');
}
