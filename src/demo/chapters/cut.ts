import type { DemoNode } from '../cluster.ts';
import { counted } from '../figures.ts';
import { Ledger } from '../ledger.ts';
import { SteadyLoad } from '../load.ts';
import { type Chapter, narrate } from '../story.ts';
import { pause } from '../wait.ts';

const HUB_WRITES_PER_SECOND = 40;
/** The key that both sides write while neither sees the other. */
export const CONTESTED_KEY = 'setpoint';
const CONTESTED_VALUES = { site: '{"setpoint":21.5,"by":"site"}', hub: '{"setpoint":19,"by":"hub"}' };

/** The cable to the hub is cut. The site writes on, and so does the hub; both write one of the keys. */
export const CUT: Chapter = {
  title: 'Cut',
  async run(story) {
    const { cluster, hub, state, ledger, steadyMs, signal } = story;
    narrate(story, 'the uplink is cut; the site goes on, and at the hub writes go on too');
    hub.cable.cut();
    state.hub.isCut = true;
    const fromMs = performance.now();
    const hubLedger = new Ledger(fromMs);
    const load = new SteadyLoad('hub/', [hub], hubLedger, HUB_WRITES_PER_SECOND);
    story.cut = { fromMs, load, ledger: hubLedger };
    load.start();
    await (cluster.nodes[0] as DemoNode).client.put(CONTESTED_KEY, CONTESTED_VALUES.site);
    await hub.client.put(CONTESTED_KEY, CONTESTED_VALUES.hub);
    narrate(story, `site and hub have both written ${CONTESTED_KEY}, and neither has seen the other's`);
    await pause(steadyMs, signal);
    await load.stop();
    const writes = ledger.between(fromMs, performance.now()).length;
    return `${counted(writes)} writes at the site and ${counted(hubLedger.writes.length)} at the hub, each side alone`;
  },
};
