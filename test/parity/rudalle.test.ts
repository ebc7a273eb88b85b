// ruDALL-E, converted from its folder, against the package `rudalle` (scripts/fixtures/rudalle_models.py): version 2, as
// Emojich, with the masks that a saved state dictionary has, and version 3, as Malevich, known by the name of its file.

import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { readCheckpoint } from '../../src/checkpoint/read.ts';
import { dalleCheckpointSchema } from '../../src/config/dalle.ts';
import type { DalleModelConfig } from '../../src/config/dalle-model.ts';
import { convertWeights } from '../../src/convert/convert.ts';
import type { ConvertOptions } from '../../src/convert/external.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { type Tensor2D, tf } from '../../src/engine/tfjs/tf.ts';
import { exportModel } from '../../src/export/export.ts';
import { DalleGenerator } from '../../src/inference/dalle/generator.ts';
import { Pipeline, type Unfinished } from '../../src/inference/sampler/pipeline.ts';
import { maxCaptionTokens, padCaption } from '../../src/models/dalle/config.ts';
import { dalleLoss } from '../../src/models/dalle/loss.ts';
import { type DalleParameters, dalleSpec, logits } from '../../src/models/dalle/model.ts';
import { flatten } from '../../src/nn/parameters.ts';
import { loadTokenizer } from '../../src/tokenizers/load.ts';
import { DataError, UsageError } from '../../src/util/errors.ts';
import { parametersOf, relativeDifference, unpack } from '../support/parity.ts';
import { numbers } from '../support/perturbed.ts';

const FIXTURE = join(import.meta.dirname, 'fixtures', 'rudalle');
const WEIGHTS = { v2: 'pytorch_model.bin', v3: 'pytorch_model_v3.bin' } as const;
type Version = keyof typeof WEIGHTS;
const VERSIONS = ['v2', 'v3'] as const;
/** Of the tiny models, which no published one is. */
const OPTIONS: ConvertOptions = { heads: 3, imageSize: 48 };

interface Expected {
  readonly image: number[][];
  /** Of the first image. */
  readonly textLogits: number[];
  readonly imageLogits: number[];
  readonly loss: number;
  /** The image tokens of each prompt, with top-k 1. */
  readonly drawn: number[][];
}
const expected = JSON.parse(
  gunzipSync(readFileSync(join(FIXTURE, 'expected.json.gz'))).toString(),
) as Readonly<Record<Version, Expected>> & { readonly prompts: string[]; readonly ids: number[][] };

const root = mkdtempSync(join(tmpdir(), 'mm-rudalle-'));
const vqgan = unpack('vqgan/gumbel');
after(() => {
  for (const folder of [root, vqgan]) rmSync(folder, { recursive: true });
});

/** A folder as people have it. */
function folderOf(version: Version, without?: 'bpe.model' | 'vqgan', name = version as string): string {
  const folder = join(root, name);
  mkdirSync(folder);
  copyFileSync(join(FIXTURE, `${version}.bin`), join(folder, WEIGHTS[version]));
  if (without !== 'bpe.model') copyFileSync(join(FIXTURE, 'bpe.model'), join(folder, 'bpe.model'));
  if (without !== 'vqgan')
    copyFileSync(join(vqgan, 'last.ckpt'), join(folder, 'vqgan.gumbelf8-sber.model.ckpt'));
  return folder;
}

interface Opened {
  readonly path: string;
  readonly model: DalleModelConfig;
  readonly p: DalleParameters;
  readonly text_BT: Tensor2D;
  readonly image_BI: Tensor2D;
  readonly notes: readonly string[];
}

async function convert(version: Version): Promise<Opened> {
  const path = join(root, `${version} converted`);
  const { notes } = await convertWeights([folderOf(version)], path, OPTIONS);
  const checkpoint = await readCheckpoint(path, { kind: 'dalle', warn: assert.fail });
  const { model } = checkpoint.config(dalleCheckpointSchema);
  const spec = dalleSpec(model);
  const p = parametersOf(spec, await checkpoint.read('model', flatten(spec)));
  const tokenizer = await loadTokenizer(checkpoint.tokenizerFile);
  const { image } = expected[version];
  const captions = expected.prompts.slice(0, image.length).map((prompt) => tokenizer.encode(prompt));
  const padded = captions.map((ids) => [...padCaption(ids, model)]);
  const text_BT = tf.tensor2d(padded, undefined, 'int32');
  return { path, model, p, text_BT, image_BI: tf.tensor2d(image, undefined, 'int32'), notes };
}

/** Distance of the first image's logits from theirs. */
function distance(version: Version, { p, text_BT, image_BI }: Opened, model: DalleModelConfig): number {
  const first = (ids: Tensor2D): Tensor2D => tf.slice(ids, [0, 0], [1, -1]);
  const { text_BTV, image_BIV } = logits(p, first(text_BT), first(image_BI), model);
  const { textLogits, imageLogits } = expected[version];
  // In version 3 the padding of the first position is a class there, which no caption has.
  const { textVocabulary, textLength } = model;
  const width = textLogits.length / textLength;
  const kept = textLogits.filter((_, i) => version === 'v2' || i % width !== textVocabulary);
  return Math.max(
    relativeDifference(numbers(text_BTV), kept),
    relativeDifference(numbers(image_BIV), imageLogits),
  );
}

const opened: Partial<Record<Version, Opened>> = {};
const ofVersion = (version: Version): Opened => opened[version] as Opened;
before(async () => {
  for (const version of VERSIONS) opened[version] = await convert(version);
});

for (const version of VERSIONS)
  describe(`version ${version.slice(1)}`, () => {
    test('captions have its ids, lower-cased, between <BOS> and <EOS>, cut where they are too long', async () => {
      const { model, path } = ofVersion(version);
      const tokenizer = await loadTokenizer(join(path, 'tokenizer.json'));
      for (const [i, prompt] of expected.prompts.entries()) {
        const ids = tokenizer.encode(prompt).slice(0, maxCaptionTokens(model));
        const theirs = expected.ids[i]!.map((id, t) => (id === 0 ? model.textVocabulary + t : id));
        const ours = [...padCaption(ids, model)];
        // Ours of version 3 has <BOS> as start token, and counts padding after it.
        const shifted = ours.map((id) => (id >= model.textVocabulary ? id + 1 : id));
        assert.deepEqual(version === 'v2' ? ours : [2, ...shifted], theirs);
      }
    });

    test('logits are those of the package', () => {
      const own = ofVersion(version);
      const far = distance(version, own, own.model);
      assert.ok(far < 1e-4, `${far}`);
    });

    test('any other setting would be noticed', () => {
      const own = ofVersion(version);
      const { attentionGrid, lastAttention } = own.model;
      const changes: Partial<DalleModelConfig>[] = [
        { attentionGrid: attentionGrid === 'input' ? 'target' : 'input' },
        { lastAttention: lastAttention === 'conv' ? 'conv-wrapped' : 'conv' },
        { attention: ['row', 'column', 'column', 'row'] },
        { kernelSize: 9 },
        { activation: 'gelu' },
      ];
      for (const change of changes) {
        const far = distance(version, own, { ...own.model, ...change });
        assert.ok(far > (change.activation ? 2e-4 : 1e-2), `${JSON.stringify(change)}: ${far}`);
      }
    });

    test('with top-k 1 the same images are sampled, token for token', async () => {
      const runtime = new Runtime();
      try {
        const checkpoint = await readCheckpoint(ofVersion(version).path, {
          kind: 'dalle',
          warn: assert.fail,
        });
        const pipeline = new Pipeline(runtime, await DalleGenerator.open(runtime, checkpoint));
        const requests = expected.prompts.map((prompt) => {
          const { tokens: captionTokens, isTruncated } = pipeline.encode(prompt, { truncate: true });
          assert.equal(isTruncated, prompt.length > 30);
          return { prompt, captionTokens, seed: 1 };
        });
        let codes: Int32Array = new Int32Array();
        const onToken = (_: number, { imageTokens }: { imageTokens: Int32Array }): void => {
          codes = imageTokens;
        };
        const settings = { temperature: 1, topK: 1, guidance: 1 };
        for await (const { size } of pipeline.generate(requests, settings, { batch: 3, onToken }))
          assert.equal(size, 48);
        assert.deepEqual([...codes], expected[version].drawn.flat());
        await assert.rejects(
          pipeline.generate(requests, { ...settings, guidance: 3 }, { batch: 3 }).next(),
          (error) => error instanceof UsageError && error.code === 'E_GUIDANCE_UNTRAINED',
        );
      } finally {
        await runtime.close();
      }
    });
  });

test('weights that were given back once they were packed are loaded again for other prompts', async () => {
  const runtime = new Runtime();
  try {
    const { path } = ofVersion('v3');
    const checkpoint = await readCheckpoint(path, { kind: 'dalle', warn: assert.fail });
    const pipeline = new Pipeline(runtime, await DalleGenerator.open(runtime, checkpoint));
    const settings = { temperature: 1, topK: 1, guidance: 1 };
    const calls = [
      { asked: [0, 0], batch: 1 },
      { asked: [0], batch: 1 },
      { asked: [1, 2], batch: 1 },
      { asked: [2, 0, 1], batch: 3 },
      { asked: [1], batch: 1 },
    ];
    for (const { asked, batch } of calls) {
      const requests = asked.map((i) => {
        const prompt = expected.prompts[i] as string;
        const { tokens: captionTokens } = pipeline.encode(prompt, { truncate: true });
        return { prompt, captionTokens, seed: 1 };
      });
      const codes = new Map<number, readonly number[]>();
      const onToken = (_: number, { first, imageTokens }: Unfinished) => codes.set(first, [...imageTokens]);
      for await (const { size } of pipeline.generate(requests, settings, { batch, onToken }))
        assert.equal(size, 48);
      const drawn = asked.map((i) => expected.v3.drawn[i]);
      assert.deepEqual([...codes.values()].flat(), drawn.flat());
    }
  } finally {
    await runtime.close();
  }
});

test("version 2's loss is the package's", () => {
  const { p, text_BT, image_BI, model } = ofVersion('v2');
  const { loss } = dalleLoss(p, text_BT, image_BI, model, { textWeight: 1 / 8 });
  assert.ok(Math.abs(loss.dataSync()[0]! / expected.v2.loss - 1) < 1e-5);
});

test('its settings are named where DALLE-pytorch has no place for them', async () => {
  const out = join(root, 'dalle.pt');
  await assert.rejects(exportModel(ofVersion('v2').path, { to: 'dalle-pytorch', out, warn: assert.fail }), {
    code: 'E_EXPORT_UNSUPPORTED',
    message:
      /attentionGrid is target, there input; .*secondNorm is true, there false; .*captionTokens is {start:2,end:3}, there none/,
  });
});

test('the version is of the masks where there are some, and otherwise of a name, which is noted', () => {
  const noted = VERSIONS.map((version) => ofVersion(version).notes.filter((note) => /version/.test(note)));
  assert.equal(noted[0]?.length, 0);
  assert.match(noted[1]?.[0] ?? '', /version v3 .*pytorch_model_v3\.bin/);
});

describe('parts that do not fit are refused, each with one message', () => {
  const refuses = async (from: string[], options: ConvertOptions, code: string, option?: string) =>
    assert.rejects(
      convertWeights(from, join(root, 'none'), { ...OPTIONS, ...options }),
      (error) =>
        (error instanceof UsageError || error instanceof DataError) &&
        error.code === code &&
        (option === undefined || error.option === option),
    );

  test('no bpe.model, or a tokenizer of another kind', async () => {
    const folder = folderOf('v3', 'bpe.model', 'without tokenizer');
    await refuses([folder], {}, 'E_TOKENIZER_MISSING', 'tokenizer');
    const other = join(ofVersion('v3').path, 'dvae', 'config.yaml');
    await refuses([folder], { tokenizer: other }, 'E_TOKENIZER_UNUSABLE');
  });

  test('no VQGAN, or one with other codes', async () => {
    const folder = folderOf('v3', 'vqgan', 'without VQGAN');
    await refuses([folder], {}, 'E_DVAE_MISSING', 'dvae');
    await refuses([join(root, 'v3')], { imageSize: 96 }, 'E_WEIGHTS_UNSUPPORTED');
  });

  test('no version, and no heads', async () => {
    const unnamed = join(root, 'unnamed.bin');
    copyFileSync(join(FIXTURE, 'v3.bin'), unnamed);
    await refuses([unnamed], {}, 'E_RUDALLE_VERSION', 'rudalle');
    await refuses([join(root, 'v3')], { heads: undefined }, 'E_HEADS_MISSING', 'heads');
    await refuses([join(root, 'v3')], { heads: 5 }, 'E_OPTION_VALUE', 'heads');
  });
});
