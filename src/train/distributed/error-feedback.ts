// Error feedback of compressed gradients: each worker's residuals, the part of its gradients that compression has left
// out and that is added to the next ones. A checkpoint, written by worker 0, holds the residuals of all workers.

import type { Checkpoint } from '../../checkpoint/checkpoint.ts';
import type { TensorSources } from '../../checkpoint/write.ts';
import type { Cluster } from '../../cluster/cluster.ts';
import type { Weights } from '../../nn/weights.ts';
import { DataError } from '../../util/errors.ts';
import type { Logger } from '../../util/logger.ts';

const nameOf = (rank: number, name: string): string => `${rank}.${name}`;

const ranksOf = (workers: number): number[] => Array.from({ length: workers }, (_, rank) => rank);

/** At worker 0: the residuals of all workers, each fetched when it is written; the others call `sendResiduals`. */
export async function gatherResiduals(cluster: Cluster, residuals: Weights): Promise<TensorSources> {
  return [...(await residuals.save())].flatMap(([name, { shape, data }]) =>
    ranksOf(cluster.workers).map((rank) => {
      const fetched = async (): Promise<Float32Array> => {
        const array = new Float32Array(data.length);
        await cluster.sendToPrimary(rank, array);
        return array;
      };
      const source = rank === cluster.rank ? (data as Float32Array) : fetched;
      return [nameOf(rank, name), { dtype: 'float32', shape, data: source }] as const;
    }),
  );
}

/** At the other workers: sends the residuals to worker 0, in the order in which it fetches them. */
export async function sendResiduals(cluster: Cluster, residuals: Weights): Promise<void> {
  for (const { data } of (await residuals.save()).values()) {
    for (const rank of ranksOf(cluster.workers).slice(1))
      await cluster.sendToPrimary(rank, data as Float32Array);
  }
}

/**
 * Gives each worker its residuals back. When the number of workers has changed, each gets an equal share of the sum, on
 * which alone the updates depend. Without saved residuals they are 0.
 * @param checkpoint at worker 0, the checkpoint that the run resumes from
 */
export async function scatterResiduals(
  cluster: Cluster,
  residuals: Weights,
  checkpoint: Checkpoint | undefined,
  log: Logger,
): Promise<void> {
  const values = residuals.zeros();
  const names = checkpoint?.has('compression') ? await checkpoint.names('compression') : [];
  const before = Number(await cluster.broadcastText(String(Math.ceil(names.length / values.size))));
  const source = before > 0 ? checkpoint?.tensors('compression', expectedOf(before, residuals)) : undefined;
  const isSame = before === cluster.workers;
  try {
    for (const [name, { data }] of values) {
      const own = data as Float32Array;
      for (const rank of ranksOf(before)) {
        const saved = source && (await take(source, nameOf(rank, name), checkpoint?.path));
        if (isSame && rank > 0) await cluster.receiveFromPrimary(rank, saved ?? own);
        else if (saved)
          for (let i = 0; i < own.length; i++) own[i] = (own[i] as number) + (saved[i] as number);
      }
      if (isSame || before === 0) continue;
      for (let i = 0; i < own.length; i++) own[i] = (own[i] as number) / cluster.workers;
      await cluster.broadcast([own]);
    }
  } finally {
    await source?.return(undefined);
  }
  await residuals.load(values);
  if (before > 0 && !isSame && cluster.isPrimary)
    log.info(`residuals of ${before} workers are shared among ${cluster.workers}`);
}

const expectedOf = (workers: number, residuals: Weights) =>
  residuals
    .expected()
    .flatMap(([name, spec]) => ranksOf(workers).map((rank) => [nameOf(rank, name), spec] as const));

/** The next tensor of a file that `gatherResiduals` filled; it must have this name. */
async function take(
  source: AsyncGenerator<[name: string, tensor: { readonly data: ArrayLike<unknown> }]>,
  name: string,
  where = '',
): Promise<Float32Array> {
  const { value } = await source.next();
  if (value?.[0] === name) return value[1].data as Float32Array;
  throw new DataError(`residuals ${name} are missing or out of order`, {
    code: 'E_CHECKPOINT_DAMAGED',
    where,
    fix: 'use another checkpoint of the run, or a copy of this one',
  });
}
