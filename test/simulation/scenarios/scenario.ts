export interface ScenarioOptions {
  readonly seed: number;
  /** Only this cluster size, where a scenario has several. */
  readonly nodes?: number;
  readonly progress: (text: string) => void;
}

export interface ScenarioReport {
  /** A table for people. */
  readonly lines: readonly string[];
  readonly problems: readonly string[];
  readonly simulatedMs: number;
}

export interface Scenario {
  readonly summary: string;
  run(options: ScenarioOptions): ScenarioReport;
}

/** Columns as wide as their widest cell: text to the left, numbers to the right. */
export function tableLines(header: readonly string[], rows: readonly (readonly (string | number)[])[]): string[] {
  const cells = [header, ...rows.map((row) => row.map(String))];
  const widths = header.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const isNumeric = header.map((_, column) => rows.every((row) => typeof row[column] === 'number'));
  return cells.map((row) =>
    row
      .map((cell, column) =>
        isNumeric[column] ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  );
}

export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

/** To two decimals. */
export function seconds(ms: number): number {
  return Math.round(ms / 10) / 100;
}
