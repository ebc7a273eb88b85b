// Token batches are encoded ahead of the step; what they hold does not depend on that.

import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { dalleSchema } from '../../../../src/config/dalle.ts';
import type { BatchPosition } from '../../../../src/data/order.ts';
import { pickCaption } from '../../../../src/data/sources/captions.ts';
import type { BpeTokenizer } from '../../../../src/tokenizers/bpe.ts';
import { trainBpe } from '../../../../src/tokenizers/train.ts';
import { type TokenBatch, trainingBatches } from '../../../../src/train/dalle/batches.ts';
import type { TokenizedDataset } from '../../../../src/train/dalle/examples.ts';
import { RandomStream } from '../../../../src/util/random.ts';

const IMAGES = 7;
const SEED = 5;
const TEXT_LENGTH = 12;
const NULL_CAPTIONS = 0.25;
const DROPOUT = 0.3;

const data: TokenizedDataset = {
  keys: Array.from({ length: IMAGES }, (_, i) => `k${i}`),
  captions: Array.from({ length: IMAGES }, (_, i) =>
    Array.from({ length: 1 + (i % 3) }, (_, c) => `red circle ${c} ${i}`),
  ),
  codes: Uint16Array.from({ length: IMAGES * 4 }, (_, i) => i % 16),
};
const config = dalleSchema.parse({
  seed: SEED,
  model: { textLength: TEXT_LENGTH, textVocabulary: 300, grid: 2, imageVocabulary: 16 },
  data: { tokens: 't', dvae: 'd', tokenizer: 't', bpeDropout: DROPOUT },
  train: {
    steps: 1,
    batch: 4,
    nullCaptions: NULL_CAPTIONS,
    optimizer: { learningRate: { peak: 1e-3 } },
  },
});
let tokenizer: BpeTokenizer;
before(async () => {
  tokenizer = await trainBpe(data.captions.flat(), { vocabulary: 300 });
});

async function take(count: number, position?: BatchPosition): Promise<TokenBatch[]> {
  const batches = trainingBatches(data, tokenizer, config, position);
  const taken: TokenBatch[] = [];
  for await (const batch of batches) if (taken.push(batch) === count) break;
  return taken;
}

test('captions are picked, dropped and encoded by the seed, the epoch and the image', async () => {
  let epoch = -1;
  const seen = new Set<string>();
  for (const { keys, text, image } of await take(20)) {
    for (const [row, key] of keys.entries()) {
      if (seen.size % IMAGES === 0) epoch++;
      seen.add(`${epoch} ${key}`);
      const index = Number(key.slice(1));
      const random = new RandomStream(SEED, 'caption', epoch, index);
      const isNull = random.uniform() < NULL_CAPTIONS;
      const caption = isNull ? '' : pickCaption(data.captions[index]!, SEED, epoch, key);
      const dropped = tokenizer.encode(caption, { dropout: DROPOUT, random });
      const ids = dropped.length > TEXT_LENGTH ? tokenizer.encode(caption) : dropped;
      const padded = Array.from({ length: TEXT_LENGTH }, (_, t) => ids[t] ?? 300 + t);
      assert.deepEqual([...text.subarray(row * TEXT_LENGTH, (row + 1) * TEXT_LENGTH)], padded);
      assert.deepEqual(
        image.subarray(row * 4, row * 4 + 4),
        Int32Array.from(data.codes.subarray(index * 4, index * 4 + 4)),
      );
    }
  }
  assert.equal(seen.size, 80, 'each image once in an epoch');
});

test('a run resumed at any batch gets the same batches as an uninterrupted one', async () => {
  const whole = await take(9);
  for (const stop of [1, 2, 5, 8]) {
    const position = JSON.parse(JSON.stringify(whole[stop - 1]!.position)) as BatchPosition;
    assert.deepEqual(await take(9 - stop, position), whole.slice(stop));
  }
});

test('the next batch is encoded while the current one is used', async () => {
  let encoded = 0;
  const counting = Object.assign(Object.create(tokenizer) as BpeTokenizer, {
    encode: (...args: Parameters<BpeTokenizer['encode']>) => {
      encoded++;
      return tokenizer.encode(...args);
    },
  });
  const batches = trainingBatches(data, counting, config);
  await batches.next();
  await setImmediate();
  await setImmediate();
  const ahead = encoded;
  await batches.next();
  assert.ok(ahead >= 8, `${ahead} captions are encoded, of two batches of four`);
  await batches.return();
});
