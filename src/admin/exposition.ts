/** Writes the text of `/metrics` from the table of metrics.ts. */
import { type Metric as ClientMetric, collectDefaultMetrics, Registry } from 'prom-client';
import { METRICS, type Metric, type MetricValue, type Sample, type Snapshot } from './metrics.js';

/**
 * Gauges of prom-client with names of counters, which promtool rejects; their parts are exported.
 */
const MISNAMED = ['handles', 'requests', 'resources'].map((what) => `nodejs_active_${what}_total`);

/** With the metrics of the process itself (`process_…`, `nodejs_…`). */
export class Exposition {
  readonly #registry = new Registry();
  #snapshot: Snapshot | null = null;

  constructor() {
    collectDefaultMetrics({ register: this.#registry });
    for (const name of MISNAMED) this.#registry.removeSingleMetric(name);
    for (const [name, metric] of Object.entries(METRICS)) this.#declare(name, metric);
  }

  async text(snapshot: Snapshot): Promise<{ readonly contentType: string; readonly text: string }> {
    this.#snapshot = snapshot;
    return { contentType: this.#registry.contentType, text: await this.#registry.metrics() };
  }

  /** Values come from elsewhere, so there is nothing to count: the registry only asks for them. */
  #declare(name: string, { type, help, labels = [], values }: Metric): void {
    const sampleOf = (value: MetricValue | Sample) => {
      if ('suffix' in value) return { ...value, metricName: `${name}${value.suffix}` };
      const [first, ...given] = value;
      const named = labels.map((label, at) => [label, given[at] ?? ''] as const);
      return { value: first, labels: Object.fromEntries(named) };
    };
    const get = async () => {
      const found = this.#snapshot === null ? [] : values(this.#snapshot);
      return { name, help, type, values: found.map(sampleOf) };
    };
    this.#registry.registerMetric({ name, get } as unknown as ClientMetric);
  }
}
