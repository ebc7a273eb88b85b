// Workers that train one model together, each in a process of its own: what they exchange, in steps that all make in the
// same order. Sums are made in the order of the workers, number by number, so that they do not depend on who makes them.

import { UsageError } from '../util/errors.ts';
import { addInPlace, bytesOf, type Chunk, chunksOf, lengthOf, type Slice, slicesOf } from './chunks.ts';
import { CHUNK_LENGTH, KIND, type Kind, MAX_TEXT } from './frame.ts';
import { Link } from './link.ts';
import { connect, type JoinOptions } from './rendezvous.ts';
import { errorFromStop, type Stop, stopFromError } from './stop.ts';

/**
 * Waits until all workers have come, and runs `body` as one of them. An error of it stops the others too.
 * @throws what `body` does, or another worker's error; as `Cluster.join` does
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
  /** Its goodbyes, from when it is over. */
  #end: Promise<unknown> | undefined;
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
   * Waits until all workers have come.
   * @throws UsageError when they do not fit together, DataError when they do not all come, InterruptedError
   */
  static async join(options: JoinOptions): Promise<Cluster> {
    return new Cluster(options, await connect(options));
  }

  /** Whether this is worker 0, which the run belongs to. */
  get isPrimary(): boolean {
    return this.rank === 0;
  }

  /** Bytes sent to the others so far. */
  get bytesSent(): number {
    return this.#links.reduce((sum, { sent }) => sum + sent, 0);
  }

  /**
   * Replaces the numbers of the arrays by their sums over all workers, of which each sums up a part. The sums are those
   * of float32 additions in the order of the workers. The arrays have the same lengths for all of them.
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

  /** Copies the arrays of worker 0 over those of the others. */
  async broadcast(arrays: readonly Float32Array[]): Promise<void> {
    const sequence = this.#exchanges++;
    const all = (): Iterable<Chunk> => chunksOf(arrays, { begin: 0, end: lengthOf(arrays) });
    if (this.isPrimary) {
      await Promise.all(this.#links.map((link) => send(link, KIND.broadcast, sequence, all())));
    } else await receive(this.#linkTo(0), KIND.broadcast, sequence, all());
  }

  /** Copies the array of worker `rank` over that of worker 0; the others take part by calling it, too. */
  async sendToPrimary(rank: number, array: Float32Array): Promise<void> {
    const sequence = this.#exchanges++;
    const all = chunksOf([array], { begin: 0, end: array.length });
    if (this.rank === rank) await send(this.#linkTo(0), KIND.gather, sequence, all);
    else if (this.isPrimary) await receive(this.#linkTo(rank), KIND.gather, sequence, all);
  }

  /** Copies the array of worker 0 over that of worker `rank`; the others take part by calling it, too. */
  async receiveFromPrimary(rank: number, array: Float32Array): Promise<void> {
    const sequence = this.#exchanges++;
    const all = chunksOf([array], { begin: 0, end: array.length });
    if (this.isPrimary) await send(this.#linkTo(rank), KIND.broadcast, sequence, all);
    else if (this.rank === rank) await receive(this.#linkTo(0), KIND.broadcast, sequence, all);
  }

  /** A text of worker 0 for all. */
  async broadcastText(text: string | undefined): Promise<string> {
    const sequence = this.#exchanges++;
    if (!this.isPrimary) return decode(await this.#linkTo(0).receiveUpTo(KIND.broadcast, sequence, MAX_TEXT));
    const bytes = encode(text ?? '');
    await Promise.all(this.#links.map((link) => link.send(KIND.broadcast, sequence, [bytes])));
    return text ?? '';
  }

  /** The texts of all workers, in their order. */
  async gatherTexts(text: string): Promise<string[]> {
    const sequence = this.#exchanges++;
    const bytes = encode(text);
    const [texts] = await Promise.all([
      Promise.all(this.#links.map((link) => link.receiveUpTo(KIND.gather, sequence, MAX_TEXT))),
      ...this.#links.map((link) => link.send(KIND.gather, sequence, [bytes])),
    ]);
    return [...texts.map(decode).slice(0, this.rank), text, ...texts.map(decode).slice(this.rank)];
  }

  /** The numbers of all workers, in their order; as many of each. */
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

  /** Whether it is so for any of the workers. */
  async anyTrue(isSo: boolean): Promise<boolean> {
    return (await this.gather(Float64Array.of(Number(isSo)))).some(([value]) => value !== 0);
  }

  /**
   * Throws, for all workers alike, what `refuse` says of the first worker whose text is not that of worker 0.
   * @param refuse may be left out where the text says what `what` is
   */
  async assertSame(
    what: string,
    text: string,
    refuse: (rank: number) => Error = (rank) => otherThing(what, rank),
  ): Promise<void> {
    const texts = await this.gatherTexts(text);
    const other = texts.findIndex((theirs) => theirs !== texts[0]);
    if (other >= 0) throw refuse(other);
  }

  /**
   * Ends the connections: with `error`, which the others are told and stop with, too, unless it came from them; without
   * one when all is done.
   */
  async close(error?: unknown): Promise<void> {
    const stop = error === undefined ? undefined : stopFromError(error, this.rank);
    this.#end ??= Promise.all(this.#links.map((link) => link.close(stop)));
    await this.#end;
  }

  #linkTo(rank: number): Link {
    return this.#links.find((link) => link.rank === rank) as Link;
  }

  /** Adds up the parts of the workers as they come, worker by worker. */
  async #sumSlice(sequence: number, chunks: Iterable<Chunk>): Promise<void> {
    for (const own of chunks) {
      const earlier = viewsLike(own, this.#scratch.earlier);
      const part = viewsLike(own, this.#scratch.part);
      for (const link of this.#links) {
        const isFirst = link.rank === 0;
        await link.receive(KIND.reduceScatter, sequence, bytesOf(isFirst ? earlier : part));
        if (!isFirst) addAll(link.rank < this.rank ? earlier : own, part);
        // From here on the sum so far is in the arrays; which of two is added to which makes no difference.
        if (link.rank === this.rank - 1) addAll(own, earlier);
      }
    }
  }

  #onStop(stop: Stop, from: Link): void {
    if (this.#end) return;
    const error = errorFromStop(stop);
    for (const link of this.#links) link.fail(error);
    this.#end = Promise.all(this.#links.map((link) => link.close(link === from ? undefined : stop)));
  }
}

const otherThing = (what: string, rank: number): UsageError =>
  new UsageError(`worker ${rank} has another ${what} than worker 0`, {
    where: '--join',
    fix: `start all workers with the same ${what}`,
  });

const encode = (text: string): Uint8Array => new TextEncoder().encode(text).subarray(0, MAX_TEXT);
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const asBytes = ({ buffer, byteOffset, byteLength }: Float64Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

async function send(link: Link, kind: Kind, sequence: number, chunks: Iterable<Chunk>): Promise<void> {
  for (const chunk of chunks) await link.send(kind, sequence, bytesOf(chunk));
}

async function receive(link: Link, kind: Kind, sequence: number, chunks: Iterable<Chunk>): Promise<void> {
  for (const chunk of chunks) await link.receive(kind, sequence, bytesOf(chunk));
}

/** Views of the lengths of `chunk`, one after the other in `array`. */
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
