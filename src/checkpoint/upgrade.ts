// Checkpoints of format 1, brought to format 2 when they are read. The tensors are the same; config.yaml has other keys
// (config/upgrade.ts), and a metric has another name.

/** Metrics by the names that they had in format 1, here and in metrics.jsonl. */
const RETIRED_METRICS: Readonly<Record<string, string>> = { leastGradientScale: 'minBlockLossScale' };

/** The same values under the names of this version. */
export function upgradeMetrics<V>(metrics: Readonly<Record<string, V>>): Record<string, V> {
  return Object.fromEntries(
    Object.entries(metrics).map(([name, value]) => [
      Object.hasOwn(RETIRED_METRICS, name) ? (RETIRED_METRICS[name] as string) : name,
      value,
    ]),
  );
}
