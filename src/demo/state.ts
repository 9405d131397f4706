import type { SiteDetail } from '../ports/hub-handle.ts';
import type { MemberView, NodeStatus, RingView } from '../ports/node-handle.ts';
import type { SystemSample } from '../ports/system.ts';
import type { EventView } from './event-stream.ts';
import type { Ledger } from './ledger.ts';
import type { OutageReads } from './outage-reads.ts';

export type Tone = 'plain' | 'good' | 'warn' | 'bad';

/** A line of the ticker. */
export interface TickerEntry {
  readonly atMs: number;
  readonly text: string;
  readonly tone: Tone;
  /** Nodes that told of it; empty for what the demo itself says. */
  readonly seenBy: string[];
}

export interface ChapterProgress {
  readonly title: string;
  /** Null: not yet. */
  startMs: number | null;
  endMs: number | null;
  /** What came out of it, in a few words. */
  outcome: string;
  failed: boolean;
}

type ProcessState = 'stopped' | 'starting' | 'running' | 'killed';

/** What one node says, and what its process does. */
export interface NodeProgress {
  readonly name: string;
  process: ProcessState;
  /** Null while it does not answer. */
  status: NodeStatus | null;
  /** All members as this node sees them; empty while it does not answer. */
  members: readonly MemberView[];
}

/** What the hub says, and what its process does. */
export interface HubProgress {
  process: ProcessState;
  /** The cable to it. */
  isCut: boolean;
  /** What it has of the nodes; null while it does not answer. */
  site: SiteDetail | null;
  /** How many writes waited at the site to go up, one look after the other; the latest is the last. */
  readonly backlogs: number[];
}

/** How the nodes are connected with the hub, as they say together. */
export interface Uplink {
  /** The node that has the session; null: none. */
  readonly carrier: string | null;
  /** Writes that the hub is not known to have. */
  readonly backlog: number;
  readonly oldestSeconds: number;
}

const BACKLOGS_MAX = 400;
const TICKER_ENTRIES_MAX = 200;
/** The same news from another node within this time is one entry. */
const SAME_NEWS_MS = 20_000;

/** Everything that a view shows; times as `performance.now()`. */
export class DemoState {
  readonly network: string;
  readonly startMs: number;
  readonly nodes: readonly NodeProgress[];
  readonly hub: HubProgress = { process: 'stopped', isCut: false, site: null, backlogs: [] };
  readonly chapters: readonly ChapterProgress[];
  readonly ledger: Ledger;
  readonly ticker: TickerEntry[] = [];
  ring: RingView | null = null;
  sample: SystemSample | null = null;
  /** One sentence: what happens now. */
  narration = '';
  progress: { readonly done: number; readonly total: number } | null = null;
  reads: OutageReads | null = null;
  /** The time in which a node is down. */
  outage: { readonly fromMs: number; toMs: number | null } | null = null;
  recordedReadings = 0;
  /** Called with every new entry of the ticker. */
  onEntry: (entry: TickerEntry) => void = () => undefined;
  private readonly news = new Map<string, TickerEntry>();

  constructor(
    network: string,
    names: readonly string[],
    chapterTitles: readonly string[],
    ledger: Ledger,
    startMs: number,
  ) {
    this.network = network;
    this.ledger = ledger;
    this.startMs = startMs;
    this.nodes = names.map((name) => ({ name, process: 'stopped', status: null, members: [] }));
    this.chapters = chapterTitles.map((title) => ({ title, startMs: null, endMs: null, outcome: '', failed: false }));
  }

  get chapter(): ChapterProgress | undefined {
    return this.chapters.findLast(({ startMs }) => startMs !== null);
  }

  get uplink(): Uplink {
    const views = this.nodes.flatMap(({ name, status }) => (status?.hub ? [{ name, ...status.hub }] : []));
    return {
      carrier: views.find(({ carrying }) => carrying)?.name ?? null,
      backlog: views.reduce((sum, { backlog }) => sum + backlog.events, 0),
      oldestSeconds: Math.max(0, ...views.map(({ backlog }) => backlog.oldestSeconds)),
    };
  }

  node(name: string): NodeProgress {
    const node = this.nodes.find((candidate) => candidate.name === name);
    if (node === undefined) throw new Error(`there is no node ${name}`);
    return node;
  }

  /** Remembers what waits at the site now. */
  noteBacklog(): void {
    const { backlogs } = this.hub;
    backlogs.push(this.uplink.backlog);
    if (backlogs.length > BACKLOGS_MAX) backlogs.shift();
  }

  /** What the demo itself has to say. */
  tell(text: string, tone: Tone = 'plain', nowMs = performance.now()): void {
    this.append({ atMs: nowMs, text, tone, seenBy: [] });
  }

  /** An event of a node; the same event of several nodes is one entry. */
  record(node: string, event: EventView, nowMs = performance.now()): void {
    const { text, tone } = describeEvent(event);
    const known = this.news.get(text);
    if (known !== undefined && nowMs - known.atMs < SAME_NEWS_MS && !known.seenBy.includes(node)) {
      known.seenBy.push(node);
      return;
    }
    const entry: TickerEntry = { atMs: nowMs, text, tone, seenBy: [node] };
    this.news.set(text, entry);
    if (this.news.size > TICKER_ENTRIES_MAX) this.news.delete(this.news.keys().next().value as string);
    this.append(entry);
  }

  private append(entry: TickerEntry): void {
    this.ticker.push(entry);
    if (this.ticker.length > TICKER_ENTRIES_MAX) this.ticker.shift();
    this.onEntry(entry);
  }
}

const MEMBER_TONES: Readonly<Record<string, Tone>> = {
  'member-alive': 'good',
  'member-suspect': 'warn',
  'member-dead': 'bad',
  'member-left': 'warn',
  'member-degraded': 'warn',
  'member-healthy': 'good',
};

/** What is said of the uplink, in the words of the story. */
const UPLINK_TEXTS: Readonly<Record<string, readonly [text: string, tone: Tone]>> = {
  'uplink-up': ['the site has a session with the hub', 'good'],
  'uplink-down': ['the site has had no session with the hub for ten seconds', 'warn'],
};

function describeEvent({ type, data }: EventView): { text: string; tone: Tone } {
  const tone = MEMBER_TONES[type];
  if (tone !== undefined) return { text: `${String(data.name)} is ${type.slice('member-'.length)}`, tone };
  if (type === 'ring-changed') {
    return { text: `ring epoch ${String(data.epoch)}: ${String(data.members)} members`, tone: 'plain' };
  }
  const uplink = UPLINK_TEXTS[type];
  if (uplink !== undefined) return { text: uplink[0], tone: uplink[1] };
  if (type === 'hub-unreachable') return { text: String(data.detail), tone: 'warn' };
  const details = Object.entries(data).map(([name, value]) => `${name}=${String(value)}`);
  return { text: [type, ...details].join(' '), tone: 'plain' };
}
