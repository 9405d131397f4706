import type { DemoCluster } from './cluster.ts';
import type { Figures } from './figures.ts';
import type { DemoHub } from './hub.ts';
import type { Ledger } from './ledger.ts';
import type { SteadyLoad } from './load.ts';
import type { OutageReads } from './outage-reads.ts';
import type { Recorder } from './readings.ts';
import type { DemoState } from './state.ts';

/** What the chapters act on and write their measurements to. */
export interface Story {
  readonly cluster: DemoCluster;
  readonly hub: DemoHub;
  readonly state: DemoState;
  readonly load: SteadyLoad;
  readonly recorder: Recorder;
  readonly ledger: Ledger;
  readonly figures: Figures;
  /** Length of each steady part. */
  readonly steadyMs: number;
  /** Aborted when the demo has to end early. */
  readonly signal: AbortSignal;
  /** The node that is down, while there is one. */
  outage: Outage | null;
  /** The time without the uplink, from its beginning on. */
  cut: Cut | null;
}

export interface Outage {
  readonly victim: string;
  /** As `performance.now()`. */
  readonly killedMs: number;
  /** Of the ledger, when it began. */
  readonly failoversBefore: number;
  readonly reads: OutageReads;
}

export interface Cut {
  /** As `performance.now()`. */
  readonly fromMs: number;
  /** What is written at the hub meanwhile. */
  readonly load: SteadyLoad;
  /** What of that the hub has acknowledged. */
  readonly ledger: Ledger;
}

export interface Chapter {
  /** One word for the timeline. */
  readonly title: string;
  /** Returns what came out, in a few words. Throws when the story cannot go on. */
  run(story: Story): Promise<string>;
}

/** Tells the chapters one after the other. */
export async function tellStory(chapters: readonly Chapter[], story: Story): Promise<void> {
  const { state } = story;
  for (const [index, chapter] of chapters.entries()) {
    story.signal.throwIfAborted();
    const progress = state.chapters[index];
    if (progress === undefined) throw new Error('every chapter has its progress');
    progress.startMs = performance.now();
    try {
      progress.outcome = await chapter.run(story);
    } catch (error) {
      progress.failed = true;
      throw error;
    } finally {
      progress.endMs = performance.now();
      state.progress = null;
    }
    state.tell(`${chapter.title}: ${progress.outcome}`, 'good');
  }
}

/** Says what happens now. */
export function narrate(story: Story, text: string): void {
  story.state.narration = text;
  story.state.tell(text);
}
