// Two passes over a batch give the same chunks, from memory or decoded again, whatever the size of a chunk.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { CaptionedImage } from '../../../../src/data/image.ts';
import { Faults } from '../../../../src/data/sources/faults.ts';
import { readImages } from '../../../../src/data/sources/resolve.ts';
import type { OnHost } from '../../../../src/engine/session/compiled.ts';
import { loadTokenizer } from '../../../../src/tokenizers/load.ts';
import type { Tokenizer } from '../../../../src/tokenizers/tokenizer.ts';
import { assertClipCaptionsFit, clipBatches } from '../../../../src/train/clip/batches.ts';
import type { ClipInputs } from '../../../../src/train/clip/gradients.ts';
import { DataError } from '../../../../src/util/errors.ts';
import { createLogger } from '../../../../src/util/logger.ts';
import { writeImages } from '../../../support/tiny-dvae.ts';
import { clipConfig, writeTokenizer } from '../../../support/tiny-runs.ts';

const root = mkdtempSync(join(tmpdir(), 'mm-clip-batches-'));
const paths = { path: join(root, 'images'), tokenizer: join(root, 'tokenizer.json') };
let images: CaptionedImage[];
let tokenizer: Tokenizer;
before(async () => {
  await writeImages(paths.path, 11);
  await writeTokenizer(paths.tokenizer, paths.path);
  images = await readImages(paths.path, { captions: 'required' });
  tokenizer = await loadTokenizer(paths.tokenizer);
});
after(() => rmSync(root, { recursive: true }));

/** Pixels and ids of both passes over two batches, a list for each pass. */
async function gather(chunk: number | undefined, maxHeldBytes?: number): Promise<number[][]> {
  const config = clipConfig(paths, { data: { cropScale: 0.5 }, train: { batch: 8, gradCacheChunk: chunk } });
  const data = { images, tokenizer, faults: new Faults(createLogger('error')) };
  const batches = clipBatches(data, config, undefined, { maxHeldBytes });
  const passes: number[][] = [];
  try {
    for (let n = 0; n < 2; n++) {
      const { value } = await batches.next();
      for (let pass = 0; pass < 2; pass++) {
        const seen: number[] = [];
        let chunks = 0;
        const add = ({ pixels, text, mask }: OnHost<ClipInputs>): void => {
          chunks++;
          for (const part of [pixels, text, mask]) seen.push(...Array.from(part.data as Uint8Array));
        };
        for await (const inputs of value!.chunks()) add(inputs);
        assert.equal(chunks, 8 / (chunk ?? 8));
        passes.push(seen);
        if (chunk === undefined) break; // once is all a whole batch needs
      }
      assert.deepEqual(value!.position, n === 0 ? { epoch: 0, index: 8 } : { epoch: 1, index: 5 });
    }
  } finally {
    await batches.return();
  }
  return passes;
}

test('a second pass gives the same chunks as the first, from memory and decoded again', async () => {
  const [held, decoded] = [await gather(4), await gather(4, 0)];
  for (const passes of [held, decoded]) {
    assert.deepEqual(passes[0], passes[1]);
    assert.deepEqual(passes[2], passes[3]);
  }
  assert.deepEqual(held, decoded);
  assert.notDeepEqual(held[0], held[2]);
});

test('the size of a chunk does not change the contents of a batch', async () => {
  const sorted = (numbers: number[]): number[] => [...numbers].sort((a, b) => a - b);
  const [whole, chunked] = [await gather(undefined), await gather(2)];
  assert.deepEqual(sorted(whole[0]!), sorted(chunked[0]!));
  assert.deepEqual(sorted(whole[1]!), sorted(chunked[2]!));
});

test('captions that are too long are refused with their file, or counted when truncation is on', () => {
  const long = [{ ...images[0]!, captions: ['x y z '.repeat(20)] }, ...images.slice(1)];
  const config = clipConfig(paths);
  assert.equal(assertClipCaptionsFit(images, tokenizer, config), 0);
  assert.throws(
    () => assertClipCaptionsFit(long, tokenizer, config),
    (error) =>
      error instanceof DataError && error.where === images[0]!.path && /truncateCaptions/.test(error.fix!),
  );
  assert.equal(
    assertClipCaptionsFit(long, tokenizer, clipConfig(paths, { data: { truncateCaptions: true } })),
    1,
  );
});
