/** A temperature sensor of the machine. */
export interface TemperatureReading {
  readonly sensor: string;
  readonly celsius: number;
}

/**
 * What the machine (or, inside a container, its limits) has to offer now. Null: not known on this system, or
 * not yet, for what needs two samples.
 */
export interface SystemSample {
  /** Processors this process may use; a fraction where a container limits it. */
  readonly cpuCores: number | null;
  /** Share of them in use since the previous sample, 0 to 1. */
  readonly cpuUsedRatio: number | null;
  readonly loadAverage1m: number | null;
  readonly memoryTotalBytes: number | null;
  /** What can be allocated without swapping. */
  readonly memoryAvailableBytes: number | null;
  /** The file system of the data directory. */
  readonly storageTotalBytes: number | null;
  readonly storageFreeBytes: number | null;
  /** All interfaces but loopback, since the previous sample. */
  readonly networkReceivedBytesPerSecond: number | null;
  readonly networkSentBytesPerSecond: number | null;
  /** The disk of the data directory where it can be told, else all disks; since the previous sample. */
  readonly diskReadBytesPerSecond: number | null;
  readonly diskWrittenBytesPerSecond: number | null;
  readonly temperatures: readonly TemperatureReading[];
  /** The hottest of them. */
  readonly temperatureCelsius: number | null;
  /** Mean of the free shares of cpu, memory and storage, 0 to 1, smoothed. */
  readonly score: number;
}

export interface SystemSampler {
  /** Never rejects: what cannot be read is null. */
  sample(): Promise<SystemSample>;
}
