// Images shown while they are drawn: the rows of codes so far are decoded beside the sampling, never more often than
// about once a second, and never so often that they take more than a fifth of the time.

import type { GenerateRequest, Unfinished } from '../inference/dalle/pipeline.ts';
import type { DvaeCodec } from '../inference/dvae/codec.ts';
import type { PreviewImage } from './options.ts';

export interface Pace {
  /** Milliseconds between previews, at least. */
  readonly interval: number;
  /** The same, in times of what the last preview took. */
  readonly pause: number;
}

const PACE: Pace = { interval: 1000, pause: 4 };
/** What is not drawn yet. */
export const UNDRAWN = 200;

export class Preview {
  readonly #codec: Pick<DvaeCodec, 'config' | 'grid' | 'decode'>;
  readonly #requests: readonly GenerateRequest[];
  readonly #show: (images: readonly PreviewImage[]) => Promise<void> | void;
  readonly #pace: Pace;
  #running: Promise<void> | undefined;
  #next: number;
  #isFirst = true;

  /** @param show is told of the images of a batch; while it is at it, others are passed over */
  constructor(
    codec: Pick<DvaeCodec, 'config' | 'grid' | 'decode'>,
    requests: readonly GenerateRequest[],
    show: (images: readonly PreviewImage[]) => Promise<void> | void,
    pace = PACE,
  ) {
    this.#codec = codec;
    this.#requests = requests;
    this.#show = show;
    this.#pace = pace;
    this.#next = performance.now() + pace.interval;
  }

  /** Begins to decode and show what there is, if a row is complete and it is time. */
  offer({ first, tokenCount: tokens, codes }: Unfinished): void {
    const { grid } = this.#codec;
    if (tokens % grid !== 0 || tokens === grid ** 2) return;
    if (this.#running || performance.now() < this.#next) return;
    // The first one takes longer: the decoder's graph is built.
    const started = this.#isFirst ? undefined : performance.now();
    this.#isFirst = false;
    // An error is kept for `settle`: nobody waits for the promise until then.
    this.#running = this.#decodeAndShow(first, tokens / grid, Int32Array.from(codes)).then(() => {
      const now = performance.now();
      this.#next = now + Math.max(this.#pace.interval, this.#pace.pause * (now - (started ?? now)));
      this.#running = undefined;
    });
    this.#running.catch(() => undefined);
  }

  /** Waits for what is being shown. Throws what went wrong with it. */
  async settle(): Promise<void> {
    await this.#running;
  }

  async #decodeAndShow(first: number, rows: number, codes: Int32Array): Promise<void> {
    const { grid } = this.#codec;
    const { imageSize: size } = this.#codec.config;
    const count = codes.length / grid ** 2;
    // Below the last row comes the same again: the dVAE looks beyond the row, and code 0 would show.
    for (let image = 0; image < count; image++) {
      const start = image * grid ** 2;
      const last = codes.slice(start + (rows - 1) * grid, start + rows * grid);
      for (let row = rows; row < grid; row++) codes.set(last, start + row * grid);
    }
    const pixels = await this.#codec.decode(codes);
    const drawn = Math.floor((rows * size) / grid) * size * 3;
    const images = Array.from({ length: count }, (_, i): PreviewImage => {
      const own = pixels.subarray(i * size ** 2 * 3, (i + 1) * size ** 2 * 3);
      own.fill(UNDRAWN, drawn);
      const { prompt, seed } = this.#requests[first + i] as GenerateRequest;
      return { prompt, seed, index: first + i, pixels: own, size };
    });
    await this.#show(images);
  }
}
