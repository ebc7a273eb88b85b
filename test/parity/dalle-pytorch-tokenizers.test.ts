// DALLE-pytorch's models with each of its image tokenizers and tokenizers of text, converted: the same ids of captions,
// and with top-k 1 the same image tokens (scripts/fixtures/dalle_pytorch_tokenizers.py).

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { readCheckpoint } from '../../src/checkpoint/read.ts';
import { dalleCheckpointSchema } from '../../src/config/dalle.ts';
import { dvaeCheckpointSchema } from '../../src/config/dvae.ts';
import { convertWeights } from '../../src/convert/convert.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { dalleTokens } from '../../src/inference/dalle/generator.ts';
import { Sampler } from '../../src/inference/sampler/sampler.ts';
import { padCaption } from '../../src/models/dalle/config.ts';
import { dalleSpec } from '../../src/models/dalle/model.ts';
import { Weights } from '../../src/nn/weights.ts';
import { loadTokenizer } from '../../src/tokenizers/load.ts';

const FOLDER = join(import.meta.dirname, 'fixtures', 'dalle-pytorch', 'tokenizers');
const CASES = {
  clip: { tokenizer: 'clip.txt', dvae: 'dalle-pytorch' },
  hug: { tokenizer: 'hug.json', dvae: 'openai' },
  yttm: { tokenizer: 'yttm.model', dvae: 'vqgan' },
} as const;
type Name = keyof typeof CASES;

interface Expected {
  readonly captions: readonly string[];
  readonly ids: readonly (readonly number[])[];
  readonly tokens: readonly (readonly number[])[];
  readonly guided: readonly (readonly number[])[];
}

const expected: Record<Name, Expected> = JSON.parse(await readFile(join(FOLDER, 'expected.json'), 'utf8'));
const root = await mkdtemp(join(tmpdir(), 'mm-dalle-pytorch-'));
after(() => rm(root, { recursive: true }));

async function external(name: Name): Promise<string> {
  const path = join(root, `${name}.pt`);
  await writeFile(path, gunzipSync(await readFile(join(FOLDER, `${name}.pt.gz`))));
  return path;
}
const tokenizerOf = (name: Name): string => join(FOLDER, CASES[name].tokenizer);

for (const name of Object.keys(CASES) as Name[]) {
  test(`${name}: ids and image tokens are those of DALLE-pytorch, its image tokenizer is inside`, async () => {
    const { captions, ids, tokens, guided } = expected[name];
    const to = join(root, name);
    await convertWeights([await external(name)], to, { tokenizer: tokenizerOf(name), nullCaptions: 0.1 });
    const checkpoint = await readCheckpoint(to, { kind: 'dalle', warn: assert.fail });
    const { model, train } = checkpoint.config(dalleCheckpointSchema);
    assert.equal(train.nullCaptions, 0.1);
    const dvae = (await checkpoint.dvae()).config(dvaeCheckpointSchema).model;
    assert.equal(dvae.architecture, CASES[name].dvae);

    const tokenizer = await loadTokenizer(checkpoint.tokenizerFile);
    const texts = captions.map((caption) => tokenizer.encode(caption));
    // Padding is 0 there, and 0 is padding.
    const padded = ids.map((row) => row.map((id, t) => (id === 0 ? model.textVocabulary + t : id)));
    assert.deepEqual(
      texts.map((text) => [...padCaption(text, model)]),
      padded,
    );

    const runtime = new Runtime();
    try {
      const weights = new Weights(runtime, 'dalle', dalleSpec(model));
      await weights.load(await checkpoint.read('model', weights.expected()));
      for (const [guidance, wanted] of [
        [1, tokens],
        [2, guided],
      ] as const) {
        const settings = { temperature: 1, guidance, topK: 1 };
        const sampler = new Sampler(runtime, `guidance ${guidance}`, dalleTokens(model, weights), {
          batch: 4,
          settings,
        });
        const requests = texts.map((captionTokens, seed) => ({ captionTokens, seed }));
        const got = await sampler.sample(requests);
        assert.deepEqual([...got], wanted.flat(), `guidance ${guidance}`);
      }
    } finally {
      await runtime.close();
    }
  });
}

describe('what the file does not hold', () => {
  const convert = async (name: Name, options: object, to: string) =>
    convertWeights([await external(name)], join(root, to), options);

  test('the tokenizer has to be named, and to fit', async () => {
    await assert.rejects(convert('clip', {}, 'a'), { code: 'E_TOKENIZER_MISSING', option: 'tokenizer' });
    const tokenizer = tokenizerOf('clip');
    await assert.rejects(convert('yttm', { tokenizer }, 'b'), {
      code: 'E_WEIGHTS_UNSUPPORTED',
      where: tokenizer,
    });
  });

  test('an image tokenizer named in its place has to fit', async () => {
    const tokenizer = tokenizerOf('clip');
    const same = await convert('clip', { tokenizer, dvae: join(root, 'clip', 'dvae') }, 'c');
    assert.ok(same.notes.some((note) => note.includes('image tokenizer is left out')));
    assert.ok(same.notes.some((note) => note.includes('nullCaptions')));
    const other = join(root, 'vae.pt');
    const file = join(import.meta.dirname, 'fixtures', 'dalle-pytorch-a', 'vae.pt.gz');
    await writeFile(other, gunzipSync(await readFile(file)));
    const dvae = join(root, 'other');
    await convertWeights([other], dvae, {});
    await assert.rejects(convert('clip', { tokenizer, dvae }, 'd'), {
      code: 'E_WEIGHTS_UNSUPPORTED',
      where: dvae,
    });
  });
});
