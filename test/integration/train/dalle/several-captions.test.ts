// Several captions of an image: each epoch picks one, by the seed of the run, from whatever source.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ImageBatches } from '../../../../src/data/batches.ts';
import type { BatchPosition } from '../../../../src/data/order.ts';
import { pickCaption } from '../../../../src/data/sources/captions.ts';
import { Faults } from '../../../../src/data/sources/faults.ts';
import { readImages } from '../../../../src/data/sources/resolve.ts';
import { readTokenFolder } from '../../../../src/data/tokens/read.ts';
import { tokenizeFolder } from '../../../../src/inference/jobs/tokenize.ts';
import { BpeTokenizer } from '../../../../src/tokenizers/bpe.ts';
import { assertCaptionsFit, trainingBatches } from '../../../../src/train/dalle/batches.ts';
import type { DataError } from '../../../../src/util/errors.ts';
import { createLogger } from '../../../../src/util/logger.ts';
import { SILENT } from '../../../../src/util/progress.ts';
import { writeImages, writeTinyDvae } from '../../../support/tiny-dvae.ts';
import { dalleConfig, writeTokenizer } from '../../../support/tiny-runs.ts';

const IMAGES = 6;
const EPOCHS = 60;
const lines = (i: number): string[] => ['red', 'green', 'blue'].map((colour) => `${colour} ${i}`);

const root = mkdtempSync(join(tmpdir(), 'mm-captions-'));
const data = join(root, 'images');
let tokenizer: BpeTokenizer;
before(async () => {
  await writeImages(data, IMAGES);
  for (let i = 0; i < IMAGES; i++)
    writeFileSync(join(data, i % 2 === 0 ? 'a' : 'b', `00${i}.txt`), `${lines(i).join('\n\n')}\r\n`);
  writeFileSync(
    join(root, 'list.jsonl'),
    Array.from({ length: IMAGES }, (_, i) => ({
      i,
      file: `images/${i % 2 === 0 ? 'a' : 'b'}/00${i}.png`,
    }))
      .flatMap(({ i, file }) => lines(i).map((caption) => JSON.stringify({ file, caption })))
      .join('\n'),
  );
  await writeTokenizer(join(root, 'tokenizer.json'), data);
  tokenizer = await BpeTokenizer.load(join(root, 'tokenizer.json'));
});
after(() => rmSync(root, { recursive: true }));

test('a folder and a list give all captions of an image, in order', async () => {
  for (const path of [data, join(root, 'list.jsonl')]) {
    const images = await readImages(path, { captions: 'required' });
    const captions = images.map(({ captions }) => captions).sort();
    assert.deepEqual(captions, Array.from({ length: IMAGES }, (_, i) => lines(i)).sort(), path);
  }
});

test('each epoch picks one caption uniformly; batch size and starting position do not change the pick', async () => {
  const images = await readImages(data, { captions: 'required' });
  const faults = new Faults(createLogger('error'));
  const take = async (batch: number, count: number, position?: BatchPosition) => {
    const seen: string[] = [];
    let after = position;
    const batches = new ImageBatches(images, {
      ...{ size: 8, batch, seed: 5, crop: 'center', cropScale: 1, flip: false, faults },
      position,
    });
    for await (const { captions, keys, position } of batches) {
      for (const [i, caption] of captions.entries()) {
        assert.match(caption as string, new RegExp(` ${Number(keys[i]?.slice(-3))}$`));
        seen.push(caption as string);
      }
      after = position;
      if (seen.length >= count) break;
    }
    return { seen, after };
  };
  const { seen } = await take(IMAGES, EPOCHS * IMAGES);
  for (const colour of ['red', 'green', 'blue']) {
    const share = seen.filter((caption) => caption.startsWith(colour)).length / seen.length;
    assert.ok(Math.abs(share - 1 / 3) < 0.08, `${colour}: ${share}`);
  }
  const half = await take(4, 8);
  assert.deepEqual(half.seen, seen.slice(0, 8));
  assert.deepEqual((await take(4, 12, half.after)).seen, seen.slice(8, 20));
});

test('token shards keep all captions, and training on them picks the same as on images', async () => {
  const dvae = join(root, 'dvae');
  await writeTinyDvae(dvae);
  const out = join(root, 'tokens');
  const context = { log: createLogger('error'), progress: SILENT, signal: new AbortController().signal };
  await tokenizeFolder({ data, dvae, out, shardSize: 4, resume: false }, context);
  const tokens = await readTokenFolder(out);
  assert.deepEqual(
    tokens.captions,
    tokens.keys.map((key) => lines(Number(key.slice(-3)))),
  );

  const config = dalleConfig({ path: data, dvae, tokenizer: join(root, 'tokenizer.json') }, 5, {
    nullCaptions: 0,
    batch: IMAGES,
  });
  const settings = { ...config, data: { ...config.data, bpeDropout: 0 } };
  assert.equal(assertCaptionsFit(tokens, tokenizer, settings), 0);
  const batches = trainingBatches(tokens, tokenizer, settings);
  for (let epoch = 0; epoch < 4; epoch++) {
    const { value } = await batches.next();
    const { keys, text } = value as Exclude<typeof value, void>;
    for (const [i, key] of keys.entries()) {
      const expected = tokenizer.encode(pickCaption(lines(Number(key.slice(-3))), 5, epoch, key));
      assert.deepEqual([...text.slice(i * 12, i * 12 + expected.length)], expected);
    }
  }
});

test('a caption that is too long is refused, also when it is not the first of its image', () => {
  const config = dalleConfig({ path: data, dvae: '', tokenizer: '' });
  const captions = [['short'], ['short', 'long '.repeat(20)]];
  assert.throws(
    () => assertCaptionsFit({ keys: ['a', 'b'], captions }, tokenizer, config),
    (error: DataError) =>
      error.code === 'E_CAPTION_TOO_LONG' && error.where === 'b' && /^1 caption /.test(error.message),
  );
});
