// The contract of evaluators: constructed with a model and its held-out data, run as often as wanted.

/** Named values. */
export type Metrics = Readonly<Record<string, number>>;

export interface Evaluator<Settings extends readonly unknown[] = []> {
  /** Evaluates the model as it is now; returns the metrics by the names under which they are logged. */
  run(...settings: Settings): Promise<Metrics>;
  /** What the model does now, as a PNG for people to look at; undefined where there is nothing to show. */
  image(): Promise<Uint8Array | undefined>;
}
