// A joint Transformer and a CLIP trained with a tokenizer of another program: the checkpoint carries it, a resumed run
// needs the same one, and samples and captions are made with it.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { readCheckpoint } from '../../../src/checkpoint/read.ts';
import { Runtime } from '../../../src/engine/session/runtime.ts';
import { DalleGenerator } from '../../../src/inference/dalle/generator.ts';
import { Pipeline } from '../../../src/inference/sampler/pipeline.ts';
import { loadTokenizer } from '../../../src/tokenizers/load.ts';
import { writeImages, writeTinyDvae } from '../../support/tiny-dvae.ts';
import { clipConfig, clipSession, dalleConfig, dalleSession } from '../../support/tiny-runs.ts';

const fixtures = join(import.meta.dirname, '../../unit/tokenizers/fixtures');
const root = mkdtempSync(join(tmpdir(), 'mm-other-tokenizers-'));
const images = join(root, 'images');
const dvae = join(root, 'dvae');
const tokenizers = { unigram: join(root, 'unigram.json'), yttm: join(root, 'yttm.model') };

before(async () => {
  await writeImages(images, 12);
  await writeTinyDvae(dvae);
  const read = (name: string) => JSON.parse(gunzipSync(readFileSync(join(fixtures, name))).toString('utf8'));
  const unigram = read('kinds.json.gz').find(({ name }: { name: string }) => name === 'xlm-roberta');
  writeFileSync(tokenizers.unigram, JSON.stringify(unigram.tokenizer));
  writeFileSync(tokenizers.yttm, read('youtokentome.json.gz').model);
});
after(() => rmSync(root, { recursive: true }));

test('train-dalle: the run carries its Unigram tokenizer, resumes with it alone, and the pipeline speaks it', async () => {
  const configured = dalleConfig({ path: images, dvae, tokenizer: tokenizers.unigram }, 0, {
    steps: 4,
    saveEvery: 2,
  });
  const { textVocabulary: _, ...model } = configured.model;
  const config = {
    ...configured,
    model: { ...model, textVocabulary: undefined },
  } as unknown as typeof configured;
  const run = join(root, 'dalle');
  await dalleSession(config)(run);
  const checkpoint = await readCheckpoint(run, { kind: 'dalle', warn: assert.fail });
  const [given, carried] = await Promise.all(
    [tokenizers.unigram, checkpoint.tokenizerFile].map(loadTokenizer),
  );
  assert.equal(JSON.stringify(carried), JSON.stringify(given));

  const longer = { ...config, train: { ...config.train, steps: 6 } };
  const other = { ...longer, data: { ...longer.data, tokenizer: tokenizers.yttm } };
  await assert.rejects(dalleSession(other)(run, { resume: true }), { name: 'UsageError' });
  const { steps } = await dalleSession(longer)(run, { resume: true });
  assert.equal(steps, 6);

  const runtime = new Runtime();
  try {
    const pipeline = new Pipeline(runtime, await DalleGenerator.open(runtime, checkpoint));
    assert.equal(pipeline.generator.config.model.textVocabulary, given?.idCount);
    assert.deepEqual(pipeline.encode('a red cat').tokens, given?.encode('a red cat'));
    for await (const { caption } of pipeline.complete(['a red'], { temperature: 1, topP: 1, seed: 1 }))
      assert.match(caption, /^a red/);
  } finally {
    await runtime.close();
  }
});

test('train-clip: a model of YouTokenToMe becomes the tokenizer.json of the checkpoint', async () => {
  const config = clipConfig({ path: images, tokenizer: tokenizers.yttm }, { train: { steps: 2 } });
  const { vocabulary: _, ...text } = config.model.text;
  const open = { ...config, model: { ...config.model, text: { ...text, vocabulary: undefined } } };
  const run = join(root, 'clip');
  await clipSession(open as unknown as typeof config)(run);
  const { tokenizerFile } = await readCheckpoint(run, { kind: 'clip', warn: assert.fail });
  const given = await loadTokenizer(tokenizers.yttm);
  assert.equal(JSON.stringify(await loadTokenizer(tokenizerFile)), JSON.stringify(given));
});
