import type { DemoNode } from './cluster.ts';
import type { DemoHub } from './hub.ts';
import type { DemoState, NodeProgress } from './state.ts';
import { pause } from './wait.ts';

const POLL_INTERVAL_MS = 400;
const RECONNECT_MS = 200;

/** Asks every running node and the hub for their views and follows events, for the screen alone: the chapters measure for themselves. */
export class Observer {
  private readonly end = new AbortController();
  private readonly state: DemoState;
  private readonly nodes: readonly DemoNode[];
  private readonly hub: DemoHub;
  private runs: Promise<unknown> = Promise.resolve();

  constructor(nodes: readonly DemoNode[], hub: DemoHub, state: DemoState) {
    this.nodes = nodes;
    this.hub = hub;
    this.state = state;
  }

  start(): void {
    this.runs = Promise.all([this.pollHub(), ...this.nodes.flatMap((node) => [this.poll(node), this.follow(node)])]);
  }

  async stop(): Promise<void> {
    this.end.abort();
    await this.runs;
  }

  private async poll(node: DemoNode): Promise<void> {
    const { signal } = this.end;
    const progress = this.state.node(node.name);
    while (!signal.aborted) {
      if (node.process.isRunning) await this.look(node, progress);
      else forget(progress);
      await pause(POLL_INTERVAL_MS, signal).catch(() => undefined);
    }
  }

  private async look(node: DemoNode, progress: NodeProgress): Promise<void> {
    try {
      const [status, members, ring] = await Promise.all([
        node.client.status(),
        node.client.members(),
        node.client.ring(),
      ]);
      if (!node.process.isRunning) return;
      progress.status = status;
      progress.members = members;
      // While nodes join, the newest ring is the one to show.
      if (this.state.ring === null || ring.epoch >= this.state.ring.epoch) this.state.ring = ring;
    } catch {
      forget(progress);
    }
  }

  private async pollHub(): Promise<void> {
    const { signal } = this.end;
    const { hub } = this.state;
    while (!signal.aborted) {
      hub.site = hub.process === 'running' ? await this.hub.client.site().catch(() => null) : null;
      this.state.noteBacklog();
      await pause(POLL_INTERVAL_MS, signal).catch(() => undefined);
    }
  }

  private async follow(node: DemoNode): Promise<void> {
    const { signal } = this.end;
    while (!signal.aborted) {
      if (node.process.isRunning) {
        for await (const event of node.client.events(signal)) this.state.record(node.name, event);
      }
      await pause(RECONNECT_MS, signal).catch(() => undefined);
    }
  }
}

function forget(progress: NodeProgress): void {
  progress.status = null;
  progress.members = [];
}
