// Error feedback of compressed gradients: each replica's residuals, the part of its gradients that compression has left
// out and that is added to the next ones. A checkpoint, written by worker 0, holds the residuals of all replicas.
//   R replicas of all workers; n rows, m columns of a residual

import type { Checkpoint } from '../../checkpoint/checkpoint.ts';
import type { TensorSources } from '../../checkpoint/write.ts';
import type { Cluster } from '../../cluster/cluster.ts';
import { allGather, broadcast } from '../../engine/distributed/collectives.ts';
import { eachReplica } from '../../engine/distributed/replicas.ts';
import type { HostTensor } from '../../engine/native/tensor.ts';
import type { Compiled, NamedTensors } from '../../engine/session/compiled.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { type Tensor, tf } from '../../engine/tfjs/tf.ts';
import type { Weights } from '../../nn/weights.ts';
import { DataError } from '../../util/errors.ts';
import type { Logger } from '../../util/logger.ts';
import { sizeOf } from '../../util/shape.ts';
import { setToZero } from '../optim/accumulate.ts';

const nameOf = (replica: number, name: string): string => `${replica}.${name}`;

const numbersTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

type Rows = Record<'rows', Tensor>;

/** Moves the residuals between the replicas and worker 0, a parameter at a time. All workers call the same in turn. */
export class Residuals {
  readonly #weights: Weights;
  readonly #replicas: number;
  readonly #clear: Compiled<NamedTensors, NamedTensors>;
  readonly #gather: ReadonlyMap<string, Compiled<NamedTensors, NamedTensors>>;
  readonly #deal: ReadonlyMap<string, Compiled<Rows, NamedTensors>>;

  /** @param weights the residuals, which each replica has separately */
  constructor(runtime: Runtime, weights: Weights) {
    this.#weights = weights;
    const { count, first } = runtime.replicas;
    this.#replicas = count;
    this.#clear = runtime.compile('residuals at 0', () => {
      eachReplica(() => weights.variables.forEach(setToZero));
      return {};
    });
    const entries = [...weights.entries];
    this.#gather = new Map(
      entries.map(([name, { variable }]) => [
        name,
        runtime.compile(`residual ${name} of all`, (): NamedTensors => {
          const [all] = eachReplica(() => allGather(tf.expandDims(variable.read(), 0)));
          return first === 0 ? { all: all as Tensor } : {};
        }),
      ]),
    );
    this.#deal = new Map(
      entries.map(([name, { variable }]) => [
        name,
        runtime.compile(`residual ${name} of each`, ({ rows }: Rows) => {
          eachReplica((r) => {
            const all = broadcast(rows.shape, () => rows);
            variable.assign(tf.unstack(all)[first + r] as Tensor);
          });
          return {};
        }),
      ]),
    );
  }

  /** At worker 0: the residuals of all replicas, each fetched when it is written; the others call `send`. */
  sources(): TensorSources {
    return this.#weights.expected().flatMap(([name, { shape }]) => {
      let all: Float32Array | undefined;
      return numbersTo(this.#replicas).map((replica) => {
        const size = sizeOf(shape);
        const data = async (): Promise<Float32Array> => {
          all ??= (await this.#gather.get(name)!({})).all!.data as Float32Array;
          const own = all.slice(replica * size, (replica + 1) * size);
          if (replica === this.#replicas - 1) all = undefined;
          return own;
        };
        return [nameOf(replica, name), { dtype: 'float32', shape, data }] as const;
      });
    });
  }

  /** At the other workers: sends the residuals to worker 0, in the order in which it fetches them. */
  async send(): Promise<void> {
    for (const gather of this.#gather.values()) await gather({});
  }

  /**
   * Gives each replica its residuals back. When their number has changed, each gets an equal share of the sum, on which
   * alone the updates depend. Without saved residuals they are 0.
   * @param checkpoint at worker 0, the checkpoint that the run resumes from
   */
  async restore(cluster: Cluster, checkpoint: Checkpoint | undefined, log: Logger): Promise<void> {
    const expected = this.#weights.expected();
    const names = checkpoint?.has('compression') ? await checkpoint.names('compression') : [];
    const before = Number(await cluster.broadcastText(String(Math.ceil(names.length / expected.length))));
    if (before === 0) {
      await this.#clear({});
      return;
    }
    const all = expected.flatMap(([name, spec]) =>
      numbersTo(before).map((replica) => [nameOf(replica, name), spec] as const),
    );
    const source = checkpoint?.tensors('compression', { expected: all });
    try {
      for (const [name, { shape }] of expected) {
        const size = sizeOf(shape);
        const data = new Float32Array(this.#replicas * size);
        for (const replica of numbersTo(source ? before : 0)) {
          const saved = await take(source as Source, nameOf(replica, name), checkpoint?.path);
          if (before === this.#replicas) data.set(saved, replica * size);
          else for (let i = 0; i < size; i++) data[i] = (data[i] as number) + (saved[i] as number);
        }
        if (before !== this.#replicas) share(data, size, this.#replicas);
        const rows: HostTensor = { dtype: 'float32', shape: [this.#replicas, ...shape], data };
        await this.#deal.get(name)!({ rows });
      }
    } finally {
      await source?.return(undefined);
    }
    if (before !== this.#replicas && cluster.isPrimary)
      log.info(`residuals of ${before} replicas are shared among ${this.#replicas}`);
  }
}

/** Gives each of `count` rows an equal share of the first one. */
function share(rows: Float32Array, size: number, count: number): void {
  for (let i = 0; i < size; i++) rows[i] = (rows[i] as number) / count;
  for (let row = 1; row < count; row++) rows.copyWithin(row * size, 0, size);
}

type Source = AsyncGenerator<[name: string, tensor: { readonly data: ArrayLike<unknown> }]>;

/** The next tensor of a file that `sources` filled; it must have this name. */
async function take(source: Source, name: string, where = ''): Promise<Float32Array> {
  const { value } = await source.next();
  if (value?.[0] === name) return value[1].data as Float32Array;
  throw new DataError(`residuals ${name} are missing or out of order`, {
    code: 'E_CHECKPOINT_DAMAGED',
    where,
    fix: 'use another checkpoint of the run, or a copy of this one',
  });
}
