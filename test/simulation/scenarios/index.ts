import { city } from './city.ts';
import { crash } from './crash.ts';
import { idle } from './idle.ts';
import { lifeguard } from './lifeguard.ts';
import { longPartition } from './long-partition.ts';
import { loss } from './loss.ts';
import { pause } from './pause.ts';
import type { Scenario } from './scenario.ts';

/** What `npm run sim -- --scenario NAME` runs. */
export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  lifeguard,
  loss,
  'long-partition': longPartition,
  idle,
  crash,
  city,
  pause,
};
