// Workers of one cluster in this process, over the loopback.

import { Cluster } from '../../../src/cluster/cluster.ts';
import type { JoinOptions } from '../../../src/cluster/connect.ts';

export const LOOPBACK = { host: '127.0.0.1', port: 0 };

export type Over = Partial<JoinOptions> | ((rank: number) => Partial<JoinOptions>);

/** The outcome of each worker's joining, in their order. */
export async function joinAll(workers: number, over: Over = {}): Promise<PromiseSettledResult<Cluster>[]> {
  const signal = new AbortController().signal;
  const joins: Promise<Cluster>[] = [];
  const join = (rank: number, port: number): Promise<Cluster> =>
    Cluster.join({
      rank,
      workers,
      address: { ...LOOPBACK, port },
      secret: 'of this test',
      timeoutSeconds: 10,
      signal,
      ...(rank === 0 && {
        onListening: (chosen) => {
          // In an order that is not theirs.
          for (let other = workers - 1; other > 0; other--) joins[other] = join(other, chosen);
        },
      }),
      ...(typeof over === 'function' ? over(rank) : over),
    });
  joins[0] = join(0, 0);
  const [first] = await Promise.allSettled([joins[0]]);
  return [first as PromiseSettledResult<Cluster>, ...(await Promise.allSettled(joins.slice(1)))];
}

/** Runs `body` on each of `workers` workers, then ends them; gives what each came to, in their order. */
export async function together<T>(
  workers: number,
  body: (cluster: Cluster) => Promise<T>,
  over: Over = {},
): Promise<PromiseSettledResult<T>[]> {
  const joined = await joinAll(workers, over);
  return Promise.allSettled(
    joined.map(async (outcome) => {
      if (outcome.status === 'rejected') throw outcome.reason;
      const cluster = outcome.value;
      try {
        const result = await body(cluster);
        await cluster.close();
        return result;
      } catch (error) {
        await cluster.close(error);
        throw error;
      }
    }),
  );
}

/** What each came to, where all of them came to something. */
export async function allOf<T>(workers: number, body: (cluster: Cluster) => Promise<T>): Promise<T[]> {
  return (await together(workers, body)).map((outcome) => {
    if (outcome.status === 'rejected') throw outcome.reason;
    return outcome.value;
  });
}
