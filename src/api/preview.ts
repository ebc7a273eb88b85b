// Unfinished images during sampling: the rows of image tokens so far are decoded beside the sampling, at most about
// once a second, and in at most a fifth of the time.

import type { DvaeCodec } from '../inference/dvae/codec.ts';
import type { GenerateRequest, Unfinished } from '../inference/sampler/pipeline.ts';
import type { PreviewImage } from './options.ts';

export interface Pace {
  /** Least milliseconds between previews. */
  readonly interval: number;
  /** Least time between previews, as a multiple of what the last one took. */
  readonly pause: number;
}

const PACE: Pace = { interval: 1000, pause: 4 };
/** Grey of the rows that are not sampled yet. */
export const UNSAMPLED = 200;

export class Preview {
  readonly #codec: Pick<DvaeCodec, 'config' | 'grid' | 'decode'>;
  readonly #requests: readonly GenerateRequest[];
  readonly #show: (images: readonly PreviewImage[]) => Promise<void> | void;
  readonly #pace: Pace;
  #running: Promise<void> | undefined;
  #next: number;
  #isFirst = true;

  /** @param show gets the images of a batch; previews that come up while it runs are skipped */
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

  /** Starts a preview if a row is complete and the pace allows one. */
  offer({ first, tokenCount, imageTokens }: Unfinished): void {
    const { grid } = this.#codec;
    if (tokenCount % grid !== 0 || tokenCount === grid ** 2) return;
    if (this.#running || performance.now() < this.#next) return;
    // The time of the first preview does not count: it builds the decoder's graph.
    const started = this.#isFirst ? undefined : performance.now();
    this.#isFirst = false;
    this.#running = this.#decodeAndShow(first, tokenCount / grid, Int32Array.from(imageTokens)).then(() => {
      const now = performance.now();
      this.#next = now + Math.max(this.#pace.interval, this.#pace.pause * (now - (started ?? now)));
      this.#running = undefined;
    });
    // An error is thrown by `settle`; nothing awaits the promise until then.
    this.#running.catch(() => undefined);
  }

  /** Waits for the running preview. Throws the error of a failed one. */
  async settle(): Promise<void> {
    await this.#running;
  }

  async #decodeAndShow(first: number, rows: number, codes: Int32Array): Promise<void> {
    const { grid } = this.#codec;
    const { imageSize: size } = this.#codec.config;
    const count = codes.length / grid ** 2;
    // The last row is repeated below itself: the decoder's receptive field reaches beyond it, and code 0 would show.
    for (let image = 0; image < count; image++) {
      const start = image * grid ** 2;
      const last = codes.slice(start + (rows - 1) * grid, start + rows * grid);
      for (let row = rows; row < grid; row++) codes.set(last, start + row * grid);
    }
    const pixels = await this.#codec.decode(codes);
    const sampled = Math.floor((rows * size) / grid) * size * 3;
    const images = Array.from({ length: count }, (_, i): PreviewImage => {
      const own = pixels.subarray(i * size ** 2 * 3, (i + 1) * size ** 2 * 3);
      own.fill(UNSAMPLED, sampled);
      const { prompt, seed } = this.#requests[first + i] as GenerateRequest;
      return { prompt, seed, index: first + i, pixels: own, size };
    });
    await this.#show(images);
  }
}
