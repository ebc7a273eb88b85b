// A cluster of workers that train one model, each in its own process: collective operations, which all workers call in
// the same order. Sums are added in the order of the ranks, element by element, so that they do not depend on the
// worker that adds them.

import { UsageError } from '../util/errors.ts';
import { addInPlace, bytesOf, type Chunk, chunksOf, lengthOf, type Slice, slicesOf } from './chunks.ts';
import { CHUNK_LENGTH, KIND, type Kind, MAX_TEXT } from './frame.ts';
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
  readonly #scratch = { earlier: new Float32Array(CHUNK_LENGTH), part: new Float32Array(CHUNK_LENGTH) };

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

  /** Bytes sent to the other workers so far. */
  get bytesSent(): number {
    return this.#links.reduce((sum, { sent }) => sum + sent, 0);
  }

  /**
   * All-reduce: replaces each number of the arrays by its sum over all workers, added in float32 in the order of the
   * ranks. Each worker reduces one slice. The arrays must have the same lengths on all workers.
   */
  async allReduceSum(arrays: readonly Float32Array[]): Promise<void> {
    const sequence = this.#exchanges++;
    const slices = slicesOf(lengthOf(arrays), this.workers);
    const own = slices[this.rank] as Slice;
    await Promise.all([
      ...this.#links.map((link) =>
        send(link, KIND.reduceScatter, sequence, chunksOf(arrays, slices[link.rank] as Slice)),
      ),
      this.#sumSlice(sequence, chunksOf(arrays, own)),
    ]);
    await Promise.all([
      ...this.#links.map((link) => send(link, KIND.allGather, sequence, chunksOf(arrays, own))),
      ...this.#links.map((link) =>
        receive(link, KIND.allGather, sequence, chunksOf(arrays, slices[link.rank] as Slice)),
      ),
    ]);
  }

  /** Broadcast: copies the arrays of worker 0 to all workers. */
  async broadcast(arrays: readonly Float32Array[]): Promise<void> {
    const sequence = this.#exchanges++;
    const all = (): Iterable<Chunk> => chunksOf(arrays, { begin: 0, end: lengthOf(arrays) });
    if (this.isPrimary) {
      await Promise.all(this.#links.map((link) => send(link, KIND.broadcast, sequence, all())));
    } else await receive(this.#linkTo(0), KIND.broadcast, sequence, all());
  }

  /** Copies the array of worker `rank` to worker 0. Collective: the other workers call it too. */
  async sendToPrimary(rank: number, array: Float32Array): Promise<void> {
    const sequence = this.#exchanges++;
    const all = chunksOf([array], { begin: 0, end: array.length });
    if (this.rank === rank) await send(this.#linkTo(0), KIND.gather, sequence, all);
    else if (this.isPrimary) await receive(this.#linkTo(rank), KIND.gather, sequence, all);
  }

  /** Copies the array of worker 0 to worker `rank`. Collective: the other workers call it too. */
  async receiveFromPrimary(rank: number, array: Float32Array): Promise<void> {
    const sequence = this.#exchanges++;
    const all = chunksOf([array], { begin: 0, end: array.length });
    if (this.isPrimary) await send(this.#linkTo(rank), KIND.broadcast, sequence, all);
    else if (this.rank === rank) await receive(this.#linkTo(0), KIND.broadcast, sequence, all);
  }

  /** Broadcast of a text of worker 0. */
  async broadcastText(text: string | undefined): Promise<string> {
    const sequence = this.#exchanges++;
    if (!this.isPrimary)
      return decodeText(await this.#linkTo(0).receiveUpTo(KIND.broadcast, sequence, MAX_TEXT));
    const bytes = encodeText(text ?? '');
    await Promise.all(this.#links.map((link) => link.send(KIND.broadcast, sequence, [bytes])));
    return text ?? '';
  }

  /** All-gather of a text of each worker, in the order of the ranks. */
  async gatherTexts(text: string): Promise<string[]> {
    const sequence = this.#exchanges++;
    const bytes = encodeText(text);
    const [texts] = await Promise.all([
      Promise.all(this.#links.map((link) => link.receiveUpTo(KIND.gather, sequence, MAX_TEXT))),
      ...this.#links.map((link) => link.send(KIND.gather, sequence, [bytes])),
    ]);
    return [...texts.map(decodeText).slice(0, this.rank), text, ...texts.map(decodeText).slice(this.rank)];
  }

  /** All-gather of the same number of numbers of each worker, in the order of the ranks. */
  async gather(numbers: Float64Array): Promise<Float64Array[]> {
    const sequence = this.#exchanges++;
    const all: Float64Array[] = Array.from({ length: this.workers }, () => new Float64Array(numbers.length));
    all[this.rank] = numbers;
    await Promise.all([
      ...this.#links.map((link) => link.send(KIND.gather, sequence, [asBytes(numbers)])),
      ...this.#links.map((link) =>
        link.receive(KIND.gather, sequence, [asBytes(all[link.rank] as Float64Array)]),
      ),
    ]);
    return all;
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

  /** Reduces the slice of this worker, rank by rank as the parts arrive. */
  async #sumSlice(sequence: number, chunks: Iterable<Chunk>): Promise<void> {
    for (const own of chunks) {
      const earlier = viewsLike(own, this.#scratch.earlier);
      const part = viewsLike(own, this.#scratch.part);
      for (const link of this.#links) {
        const isFirst = link.rank === 0;
        await link.receive(KIND.reduceScatter, sequence, bytesOf(isFirst ? earlier : part));
        if (!isFirst) addAll(link.rank < this.rank ? earlier : own, part);
        // From here on the partial sum is in `own`; float32 addition is commutative.
        if (link.rank === this.rank - 1) addAll(own, earlier);
      }
    }
  }

  #onStop(stop: Stop, from: Link): void {
    if (this.#closing) return;
    const error = errorFromStop(stop);
    for (const link of this.#links) link.fail(error);
    this.#closing = Promise.all(this.#links.map((link) => link.close(link === from ? undefined : stop)));
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
const asBytes = ({ buffer, byteOffset, byteLength }: Float64Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

async function send(link: Link, kind: Kind, sequence: number, chunks: Iterable<Chunk>): Promise<void> {
  for (const chunk of chunks) await link.send(kind, sequence, bytesOf(chunk));
}

async function receive(link: Link, kind: Kind, sequence: number, chunks: Iterable<Chunk>): Promise<void> {
  for (const chunk of chunks) await link.receive(kind, sequence, bytesOf(chunk));
}

/** Consecutive views of `array` with the lengths of `chunk`. */
function viewsLike(chunk: Chunk, array: Float32Array): Float32Array[] {
  let at = 0;
  return chunk.map(({ length }) => {
    at += length;
    return array.subarray(at - length, at);
  });
}

function addAll(sum: Chunk, part: Chunk): void {
  for (const [i, views] of sum.entries()) addInPlace(views, part[i] as Float32Array);
}
