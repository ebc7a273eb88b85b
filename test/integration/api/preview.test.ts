import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate, setTimeout } from 'node:timers/promises';
import type { PreviewImage } from '../../../src/api/options.ts';
import { Preview, UNSAMPLED } from '../../../src/api/preview.ts';
import type { DvaeCodec } from '../../../src/inference/dvae/codec.ts';
import { dvaeConfig } from '../../support/tiny-runs.ts';

const GRID = 4;
const { model: config } = dvaeConfig('nowhere');
const SIZE = config.imageSize;
const CELL = SIZE / GRID;

/** Paints each code as a square of its number. */
const codec: Pick<DvaeCodec, 'config' | 'grid' | 'decode'> = {
  config,
  grid: GRID,
  decode: async (codes) => {
    const pixels = new Uint8Array((codes.length / GRID ** 2) * SIZE ** 2 * 3);
    for (let i = 0; i < pixels.length; i++) {
      const place = Math.floor(i / 3);
      const [row, column] = [Math.floor((place % SIZE ** 2) / SIZE), place % SIZE];
      const image = Math.floor(place / SIZE ** 2);
      pixels[i] = codes[image * GRID ** 2 + Math.floor(row / CELL) * GRID + Math.floor(column / CELL)]!;
    }
    return pixels;
  },
};

const AT_ONCE = { interval: 0, pause: 0 };

const requests = [3, 4, 5].map((seed) => ({ prompt: `picture ${seed}`, captionTokens: [1], seed }));

/** Codes 1, 2, 3, … of two images, of which the first `tokens` are sampled. */
const codesOf = (tokens: number): Int32Array =>
  Int32Array.from({ length: 2 * GRID ** 2 }, (_, i) => (i % GRID ** 2 < tokens ? i + 1 : 0));

/** Offers batch 1 of the requests code by code, and waits `turns` turns of the event loop after each. */
async function sampleBatch(preview: Preview, turns = 5): Promise<void> {
  for (let tokens = 1; tokens <= GRID ** 2; tokens++) {
    preview.offer({ first: 1, tokenCount: tokens, codes: codesOf(tokens) });
    for (let i = 0; i < turns; i++) await setImmediate();
  }
  await preview.settle();
}

describe('previews', () => {
  test('each row is shown once it is sampled, as it will be in the end, and grey below it', async () => {
    const shown: (readonly PreviewImage[])[] = [];
    await sampleBatch(new Preview(codec, requests, (images) => void shown.push(images), AT_ONCE));
    assert.equal(shown.length, GRID - 1, 'the whole images come by themselves');
    const whole = await codec.decode(codesOf(GRID ** 2));
    for (const [at, images] of shown.entries()) {
      assert.deepEqual(
        images.map(({ prompt, seed, index, size }) => [prompt, seed, index, size]),
        [
          ['picture 4', 4, 1, SIZE],
          ['picture 5', 5, 2, SIZE],
        ],
      );
      for (const [i, { pixels }] of images.entries()) {
        const sampled = (at + 1) * CELL * SIZE * 3;
        const start = i * SIZE ** 2 * 3;
        assert.deepEqual(pixels.slice(0, sampled), whole.slice(start, start + sampled));
        assert.ok(pixels.slice(sampled).every((value) => value === UNSAMPLED));
      }
    }
  });

  test('no two previews are closer than the interval', async () => {
    let shown = 0;
    await sampleBatch(new Preview(codec, requests, () => void shown++, { interval: 60_000, pause: 0 }));
    assert.equal(shown, 0);
  });

  test('previews take no more than their share of the time, without the first one', async () => {
    let shown = 0;
    const slow = async (): Promise<void> => {
      shown++;
      await setTimeout(20);
    };
    const preview = new Preview(codec, requests, slow, { interval: 0, pause: 1000 });
    for (let batch = 0; batch < 3; batch++) await sampleBatch(preview);
    assert.equal(shown, 2, 'the first, whose time does not count, and one more');
  });

  test('previews are skipped while the last one is being shown, which is awaited in the end', async () => {
    let release = (): void => {};
    let shown = 0;
    let isDone = false;
    const slow = (): Promise<void> => {
      shown++;
      return new Promise((resolve) => {
        release = resolve;
      });
    };
    const preview = new Preview(codec, requests, slow, AT_ONCE);
    const sampled = sampleBatch(preview).then(() => {
      isDone = true;
    });
    for (let i = 0; i < 500; i++) await setImmediate();
    assert.deepEqual([shown, isDone], [1, false]);
    release();
    await sampled;
    assert.equal(shown, 1);
  });

  test('a preview that fails is an error in the end, not an unhandled rejection', async () => {
    const preview = new Preview(
      codec,
      requests,
      () => Promise.reject(new Error('the disk is full')),
      AT_ONCE,
    );
    await assert.rejects(sampleBatch(preview), /the disk is full/);
  });
});
