// All workers of a cluster in one process, connected through the loopback interface.

import { Cluster, withCluster } from '../../src/cluster/cluster.ts';
import type { JoinOptions } from '../../src/cluster/rendezvous.ts';
import type { Runtime } from '../../src/engine/session/runtime.ts';
import { RunEngine } from '../../src/train/run-engine.ts';
import { createLogger } from '../../src/util/logger.ts';

export const LOOPBACK = { host: '127.0.0.1', port: 0 };

export type OverrideOptions = (rank: number) => Partial<JoinOptions>;

/** The outcomes of `run` with the options of each worker, in the order of the ranks. */
async function everyWorker<T>(
  workers: number,
  run: (options: JoinOptions) => Promise<T>,
  over: OverrideOptions = () => ({}),
): Promise<PromiseSettledResult<T>[]> {
  const { signal } = new AbortController();
  const ranks = Array.from({ length: workers - 1 }, (_, i) => i + 1);
  let others: Promise<PromiseSettledResult<T>[]> = Promise.resolve([]);
  const start = (rank: number, port: number, onListening?: (port: number) => void): Promise<T> =>
    run({
      rank,
      workers,
      address: { ...LOOPBACK, port },
      secret: 'of this test',
      timeoutSeconds: 10,
      signal,
      ...(onListening && { onListening }),
      ...over(rank),
    });
  const first = start(0, 0, (port) => {
    // They join in another order than that of their ranks.
    others = Promise.allSettled(ranks.toReversed().map((rank) => start(rank, port)));
  });
  const [outcome] = await Promise.allSettled([first]);
  return [outcome, ...(await others).toReversed()];
}

/** The outcome of `Cluster.join` of each worker. */
export const joinAll = (workers: number, over?: OverrideOptions): Promise<PromiseSettledResult<Cluster>[]> =>
  everyWorker(workers, (options) => Cluster.join(options), over);

/** Runs `body` on each of `workers` workers, then ends them; returns the outcome of each. */
export const runWorkers = <T>(
  workers: number,
  body: (cluster: Cluster) => Promise<T>,
): Promise<PromiseSettledResult<T>[]> => everyWorker(workers, (options) => withCluster(options, body));

/** The results of `body` on each worker. @throws the first error */
export async function runAllWorkers<T>(
  workers: number,
  body: (cluster: Cluster) => Promise<T>,
): Promise<T[]> {
  return (await runWorkers(workers, body)).map((outcome) => {
    if (outcome.status === 'rejected') throw outcome.reason;
    return outcome.value;
  });
}

/** The runtime of a worker, whose replicas exchange tensors with those of the others. */
export const workerRuntime = (cluster: Cluster): Promise<Runtime> =>
  new RunEngine(cluster, createLogger('error')).start();
