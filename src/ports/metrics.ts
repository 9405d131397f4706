export type MetricType = 'counter' | 'gauge';

/** One metric with its current values. Names end in their unit: `_total`, `_bytes`, `_seconds`, `_ratio`. */
export interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: MetricType;
  readonly values: readonly { readonly labels?: Readonly<Record<string, string>>; readonly value: number }[];
}

/** Renders metrics for scrapers. */
export interface MetricsRenderer {
  render(metrics: readonly Metric[]): Promise<string>;
}
