// A cluster of workers that train one model, each in its own process: the control channel. It has texts and a few
// numbers, in collective operations that all workers call in the same order, and says when another worker stops or is
// lost. Weights and gradients go through TensorFlow (engine/distributed/server.ts).

import { UsageError } from '../util/errors.ts';
import { KIND, MAX_TEXT } from './frame.ts';
import { Link } from './link.ts';
import { connect, type JoinOptions } from './rendezvous.ts';
import { errorFromStop, type Stop, stopFromError } from './stop.ts';

/**
 * Joins the cluster and runs `body` as one of its workers. An error of `body` stops the other workers too.
 * @throws the error of `body` or of another worker, and as `Cluster.join`
 */
export async function withCluster<T>(
  options: JoinOptions,
  body: (cluster: Cluster) => Promise<T>,
): Promise<T> {
  const cluster = await Cluster.join(options);
  try {
    const result = await body(cluster);
    await cluster.close();
    return result;
  } catch (error) {
    await cluster.close(error);
    throw error;
  }
}

export class Cluster {
  readonly rank: number;
  readonly workers: number;
  readonly #links: readonly Link[];
  #exchanges = 0;
  /** Settles when all links are closed; set once the cluster is stopping. */
  #closing: Promise<unknown> | undefined;
  readonly #stopped = new AbortController();

  private constructor(
    { rank, workers, timeoutSeconds }: JoinOptions,
    links: Awaited<ReturnType<typeof connect>>,
  ) {
    this.rank = rank;
    this.workers = workers;
    const onStop = (stop: Stop, from: Link): void => this.#onStop(stop, from);
    this.#links = links
      .map((link) => new Link({ ...link, timeoutSeconds, onStop }))
      .sort((a, b) => a.rank - b.rank);
  }

  /**
   * Waits until all workers have joined.
   * @throws UsageError when a worker does not fit, DataError when not all join in time, InterruptedError on abort
   */
  static async join(options: JoinOptions): Promise<Cluster> {
    return new Cluster(options, await connect(options));
  }

  /** True for worker 0, which owns the run folder. */
  get isPrimary(): boolean {
    return this.rank === 0;
  }

  /** Aborted when another worker stops or is lost; the reason is the error to end with. */
  get stopped(): AbortSignal {
    return this.#stopped.signal;
  }

  /** Numeric address of another worker, as this one sees it. */
  hostOf(rank: number): string {
    return this.#linkTo(rank).host;
  }

  /** Broadcast of a text of worker 0. */
  async broadcastText(text: string | undefined): Promise<string> {
    const sequence = this.#exchanges++;
    if (!this.isPrimary) return decodeText(await this.#linkTo(0).receive(KIND.broadcast, sequence, MAX_TEXT));
    const bytes = encodeText(text ?? '');
    await Promise.all(this.#links.map((link) => link.send(KIND.broadcast, sequence, [bytes])));
    return text ?? '';
  }

  /** All-gather of a text of each worker, in the order of the ranks. */
  async gatherTexts(text: string): Promise<string[]> {
    const sequence = this.#exchanges++;
    const bytes = encodeText(text);
    const [texts] = await Promise.all([
      Promise.all(this.#links.map((link) => link.receive(KIND.gather, sequence, MAX_TEXT))),
      ...this.#links.map((link) => link.send(KIND.gather, sequence, [bytes])),
    ]);
    return [...texts.map(decodeText).slice(0, this.rank), text, ...texts.map(decodeText).slice(this.rank)];
  }

  /** All-gather of the same number of numbers of each worker, in the order of the ranks. */
  async gather(numbers: Float64Array): Promise<Float64Array[]> {
    const sequence = this.#exchanges++;
    const own = new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
    const [bodies] = await Promise.all([
      Promise.all(this.#links.map((link) => link.receive(KIND.gather, sequence, own.length, own.length))),
      ...this.#links.map((link) => link.send(KIND.gather, sequence, [own])),
    ]);
    const others = bodies.map(({ buffer }) => new Float64Array(buffer as ArrayBuffer));
    return [...others.slice(0, this.rank), numbers, ...others.slice(this.rank)];
  }

  /** Collective OR over all workers. */
  async anyTrue(value: boolean): Promise<boolean> {
    return (await this.gather(Float64Array.of(Number(value)))).some(([flag]) => flag !== 0);
  }

  /**
   * Collective check that all workers have the same text.
   * @param what name of the text, for the default error
   * @param refuse makes the error for the lowest rank whose text differs from that of worker 0
   * @throws that error, on all workers
   */
  async assertSame(
    what: string,
    text: string,
    refuse: (rank: number) => Error = (rank) => mismatchError(what, rank),
  ): Promise<void> {
    const texts = await this.gatherTexts(text);
    const different = texts.findIndex((theirs) => theirs !== texts[0]);
    if (different >= 0) throw refuse(different);
  }

  /** Ends the connections. The other workers stop with `error`, if there is one and it did not come from them. */
  async close(error?: unknown): Promise<void> {
    const stop = error === undefined ? undefined : stopFromError(error, this.rank);
    this.#closing ??= Promise.all(this.#links.map((link) => link.close(stop)));
    await this.#closing;
  }

  #linkTo(rank: number): Link {
    return this.#links.find((link) => link.rank === rank) as Link;
  }

  #onStop(stop: Stop, from: Link): void {
    if (this.#closing) return;
    const error = errorFromStop(stop);
    for (const link of this.#links) link.fail(error);
    this.#stopped.abort(error);
    const isLost = ({ rank }: Link): boolean => stop.code === 'E_WORKER_LOST' && stop.rank === rank;
    this.#closing = Promise.all(
      this.#links.map((link) =>
        isLost(link) ? link.abandon() : link.close(link === from ? undefined : stop),
      ),
    );
  }
}

const mismatchError = (what: string, rank: number): UsageError =>
  new UsageError(`worker ${rank} has another ${what} than worker 0`, {
    code: 'E_WORKER_MISMATCH',
    option: 'join',
    fix: `start all workers with the same ${what}`,
  });

const encodeText = (text: string): Uint8Array => new TextEncoder().encode(text).subarray(0, MAX_TEXT);
const decodeText = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
