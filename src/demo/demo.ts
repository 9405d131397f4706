import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CUT } from './chapters/cut.ts';
import { FORM } from './chapters/form.ts';
import { KILL } from './chapters/kill.ts';
import { RECONCILE } from './chapters/reconcile.ts';
import { RETURN } from './chapters/return.ts';
import { verifyChapter } from './chapters/verify.ts';
import { WRITE } from './chapters/write.ts';
import { DemoCluster } from './cluster.ts';
import { brokenPromises, emptyFigures } from './figures.ts';
import { DemoHub } from './hub.ts';
import { Ledger } from './ledger.ts';
import { SteadyLoad, writesPerSecond } from './load.ts';
import {
  attemptCommand,
  type DemoNetwork,
  innerNetwork,
  type Leftovers,
  loopbackNetwork,
  namespaceSupport,
  OuterProcess,
  ownProgram,
  tellInside,
} from './network.ts';
import { Observer } from './observer.ts';
import { type DemoOptions, type DemoParts, steadyMs } from './options.ts';
import { Recorder } from './readings.ts';
import { DemoState } from './state.ts';
import { type Chapter, narrate, type Story, tellStory } from './story.ts';
import { LiveView } from './view/live-view.ts';
import { PlainView } from './view/plain-view.ts';
import { summaryText } from './view/summary.ts';
import { themeFor } from './view/theme.ts';
import { DemoError, InterruptedError, messageOf, pause } from './wait.ts';

const CHAPTERS: readonly Chapter[] = [FORM, WRITE, KILL, RETURN, CUT, RECONCILE, verifyChapter()];
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** All are there; one is away; the uplink is cut. */
const STEADY_PARTS = 3;
/** Beside those: detection, catching up, reconciling. */
const OVERHEAD_MS = 20_000;
const LAST_PICTURE_MS = 1500;
const LEFTOVERS_INTERVAL_MS = 200;

/**
 * Tells the story on a cluster of real processes and prints what it measured. Throws when the cluster broke a promise,
 * when a node could not run, or when the user ended it; every process and directory is gone by then.
 */
export async function runDemo(options: DemoOptions, parts: DemoParts): Promise<void> {
  const inner = innerNetwork();
  if (inner !== null) return runInside(options, parts, inner);
  const support = namespaceSupport(process.platform, process.getuid?.() === 0, attemptCommand);
  if (support.ok) return tellInside(support, options, parts);
  return new Demo(options, parts, loopbackNetwork(support.reason)).run();
}

/** The process outside prints the failure: it is the one that the user started. */
async function runInside(options: DemoOptions, parts: DemoParts, network: DemoNetwork): Promise<void> {
  const ending = new AbortController();
  const outer = new OuterProcess(() => ending.abort(new InterruptedError('the demo was ended from outside')));
  const sample = (): ReturnType<DemoParts['sample']> => outer.sample();
  const demo = new Demo(options, { ...parts, sample }, network, ending);
  demo.onLeftovers = (leftovers) => outer.tellLeftovers(leftovers);
  try {
    await demo.run();
  } catch (error) {
    await outer.tellFailure(error);
  } finally {
    outer.close();
  }
}

class Demo {
  /** Told again and again what there would be to remove. */
  onLeftovers: (leftovers: Leftovers) => void = () => undefined;
  private readonly options: DemoOptions;
  private readonly parts: DemoParts;
  private readonly network: DemoNetwork;
  private readonly ending: AbortController;
  private readonly output = process.stdout;
  private readonly figures;
  private readonly startMs = performance.now();
  private readonly ledger = new Ledger(this.startMs);

  constructor(options: DemoOptions, parts: DemoParts, network: DemoNetwork, ending = new AbortController()) {
    this.options = options;
    this.parts = parts;
    this.network = network;
    this.ending = ending;
    this.figures = emptyFigures(options.nodes);
  }

  async run(): Promise<void> {
    const files = this.options.keep ? 'their files are kept' : 'their files are removed';
    const interrupt = (): void =>
      this.ending.abort(new InterruptedError(`interrupted; the nodes and the hub are stopped, ${files}`));
    for (const signal of SIGNALS) process.on(signal, interrupt);
    // Whoever reads the lines has gone away.
    this.output.on('error', interrupt);
    const directory = await mkdtemp(join(tmpdir(), 'holdfast-demo-'));
    try {
      await this.runIn(directory, interrupt);
    } finally {
      if (!this.options.keep) await rm(directory, { recursive: true, force: true });
      for (const signal of SIGNALS) process.off(signal, interrupt);
    }
    const broken = brokenPromises(this.figures);
    if (broken.length > 0) throw new DemoError(broken.join('; '));
  }

  private async runIn(directory: string, interrupt: () => void): Promise<void> {
    const { options, network, ending } = this;
    const own = { directory, program: ownProgram(), onLost: (error: DemoError) => ending.abort(error) };
    const hub = await DemoHub.create(own);
    const cluster = await DemoCluster.create({
      ...own,
      nodes: options.nodes,
      mdns: network.mdns,
      uplink: hub.uplink,
    });
    const names = cluster.nodes.map(({ name }) => name);
    const titles = CHAPTERS.map(({ title }) => title);
    const state = new DemoState(network.description, names, titles, this.ledger, this.startMs);
    const view = options.tty
      ? new LiveView(state, this.output, process.stdin, interrupt)
      : new PlainView(state, this.output);
    const lastResort = (): void => {
      cluster.killNow();
      hub.process.killNow();
      if (!options.keep) rmSync(directory, { recursive: true, force: true });
    };
    process.once('exit', lastResort);
    view.open();
    try {
      await this.tell(cluster, hub, state, directory);
    } finally {
      state.narration = 'The nodes leave and stop, and so does the hub';
      await Promise.all([cluster.stop(), hub.stop()]);
      view.close();
      process.off('exit', lastResort);
      this.report(directory);
    }
  }

  private async tell(cluster: DemoCluster, hub: DemoHub, state: DemoState, directory: string): Promise<void> {
    const { options, parts, figures, ledger } = this;
    const { signal } = this.ending;
    const steady = steadyMs(options);
    const observer = new Observer(cluster.nodes, hub, state);
    const load = new SteadyLoad('load/', cluster.nodes, ledger, writesPerSecond(steady * STEADY_PARTS + OVERHEAD_MS));
    const recorder = new Recorder(cluster.nodes, parts.sample, (sample) => {
      state.sample = sample;
      state.recordedReadings = recorder.recorded;
    });
    const acting = { cluster, hub, state, load, recorder, ledger, figures };
    const story: Story = { ...acting, steadyMs: steady, signal, outage: null, cut: null };
    const removable = options.keep ? null : directory;
    const leftovers = setInterval(
      () => this.onLeftovers({ pids: [...cluster.pids, ...hub.pids], directory: removable }),
      LEFTOVERS_INTERVAL_MS,
    );
    state.tell(`${options.nodes} nodes and a hub in ${state.network}`);
    observer.start();
    try {
      await tellStory(CHAPTERS, story);
      if (options.tty) {
        narrate(story, 'The story ends; the figures follow');
        await pause(LAST_PICTURE_MS, signal);
      }
    } catch (error) {
      state.tell(messageOf(error), 'bad');
      throw error;
    } finally {
      clearInterval(leftovers);
      figures.readings = recorder.recorded;
      figures.readingKeys = recorder.latest.size;
      // The nodes are stopped next: what is still under way then fails and ends.
      const { outage, cut } = story;
      void Promise.all([load.stop(), recorder.stop(), outage?.reads.stop(), cut?.load.stop(), observer.stop()]);
    }
  }

  private report(directory: string): void {
    const { options, figures, ledger } = this;
    const seconds = ((performance.now() - this.startMs) / 1000).toFixed(1);
    const colourDepth = this.output.isTTY ? this.output.getColorDepth() : 1;
    const heading = `Holdfast demo: ${options.nodes} nodes and a hub for ${seconds} s in ${this.network.description}`;
    if (figures.formedMs !== null) {
      const columns = this.output.isTTY ? this.output.columns : Number.POSITIVE_INFINITY;
      this.output.write(summaryText(figures, ledger, heading, columns, themeFor(process.env, colourDepth)));
    }
    if (options.keep) this.output.write(`\n  data and logs of the nodes and the hub: ${directory}\n`);
  }
}
