import { join } from 'node:path';
import type { TemperatureReading } from '../../ports/system.ts';
import type { ReadText } from './cgroup.ts';

const SENSORS_MAX = 32;
/** Sensors without a chip behind them report extremes. */
const PLAUSIBLE_MIN_CELSIUS = -60;
const PLAUSIBLE_MAX_CELSIUS = 150;

export type ListNames = (directory: string) => Promise<readonly string[]>;

interface Sensor {
  readonly name: string;
  readonly path: string;
}

/** Finds the sensors of thermal zones and hardware monitors; they do not change while the machine runs. */
export async function findSensors(read: ReadText, list: ListNames): Promise<Sensor[]> {
  const sensors: Sensor[] = [];
  const zones = '/sys/class/thermal';
  for (const zone of (await list(zones)).filter((name) => name.startsWith('thermal_zone')).toSorted()) {
    const type = (await read(join(zones, zone, 'type')))?.trim();
    sensors.push({ name: type ?? zone, path: join(zones, zone, 'temp') });
  }
  const monitors = '/sys/class/hwmon';
  for (const monitor of (await list(monitors)).toSorted()) {
    const directory = join(monitors, monitor);
    const chip = (await read(join(directory, 'name')))?.trim() ?? monitor;
    for (const input of (await list(directory)).filter((name) => /^temp\d+_input$/.test(name)).toSorted()) {
      const label = (await read(join(directory, input.replace('_input', '_label'))))?.trim();
      sensors.push({ name: label === undefined ? chip : `${chip} ${label}`, path: join(directory, input) });
    }
  }
  return sensors.slice(0, SENSORS_MAX);
}

export async function readTemperatures(sensors: readonly Sensor[], read: ReadText): Promise<TemperatureReading[]> {
  const readings: TemperatureReading[] = [];
  for (const { name, path } of sensors) {
    const celsius = parseMillidegrees(await read(path));
    if (celsius !== null) readings.push({ sensor: name, celsius });
  }
  return readings;
}

function parseMillidegrees(text: string | null): number | null {
  const celsius = text === null || text.trim() === '' ? Number.NaN : Number(text) / 1000;
  return celsius >= PLAUSIBLE_MIN_CELSIUS && celsius <= PLAUSIBLE_MAX_CELSIUS ? celsius : null;
}
