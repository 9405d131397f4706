import { Counter, Gauge, Registry } from '@prometheus-io/client';
import type { Metric, MetricsRenderer } from '../../ports/metrics.ts';

/** The Prometheus text exposition format. */
export const prometheusRenderer: MetricsRenderer = {
  render(metrics) {
    const registry = new Registry();
    for (const metric of metrics) add(registry, metric);
    return registry.metrics();
  },
};

function add(registry: Registry, metric: Metric): void {
  const labelNames = [...new Set(metric.values.flatMap(({ labels }) => Object.keys(labels ?? {})))];
  const { name, help } = metric;
  const configuration = { name, help, labelNames, registers: [registry] };
  if (metric.type === 'counter') {
    const counter = new Counter<string>(configuration);
    for (const { labels, value } of metric.values) counter.inc(labels ?? {}, value);
  } else {
    const gauge = new Gauge<string>(configuration);
    for (const { labels, value } of metric.values) gauge.set(labels ?? {}, value);
  }
}
