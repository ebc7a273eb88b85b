// SigLIP and SigLIP 2: folders of transformers converted give its token ids, features and probabilities; the towers of
// open_clip and timm give their features, and three updates open_clip's losses, gradient norms and weights.
// scripts/fixtures/siglip.py wrote what the libraries compute.

import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import type { Checkpoint } from '../../src/checkpoint/checkpoint.ts';
import { readCheckpoint } from '../../src/checkpoint/read.ts';
import { clipCheckpointSchema, clipModelSchema, clipSchema } from '../../src/config/clip.ts';
import { fromOpenai } from '../../src/convert/clip/weights.ts';
import { convertWeights } from '../../src/convert/convert.ts';
import { externalTensor } from '../../src/convert/tensors.ts';
import type { HostTensor } from '../../src/engine/native/tensor.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { ClipPipeline } from '../../src/inference/clip/pipeline.ts';
import { clipSpec } from '../../src/models/clip/model.ts';
import { textBatch, textTokens } from '../../src/models/clip/text.ts';
import { Weights } from '../../src/nn/weights.ts';
import { loadTokenizer } from '../../src/tokenizers/load.ts';
import { cachedStep } from '../../src/train/clip/cached-step.ts';
import { wholeStep } from '../../src/train/clip/step.ts';
import { Adam } from '../../src/train/optim/adam.ts';
import { clipProbabilities } from '../support/clip-probabilities.ts';
import { expected as tensors } from '../support/parity.ts';

const FIXTURES = fileURLToPath(new URL('./fixtures/siglip/', import.meta.url));
interface Expected {
  readonly pixels: string;
  readonly strings: readonly string[];
  readonly ids: readonly (readonly number[])[];
  readonly imageFeatures: readonly number[];
  readonly textFeatures: readonly number[];
  readonly probabilities: readonly number[];
}
const read = (name: string): Buffer => readFileSync(join(FIXTURES, name));
const expected: Readonly<Record<string, Expected>> = JSON.parse(read('expected.json').toString());
const ids: Readonly<Record<string, readonly (readonly number[])[]>> = JSON.parse(
  gunzipSync(read('ids.json.gz')).toString(),
);
const strings: readonly [string][] = JSON.parse(
  readFileSync(new URL('../unit/tokenizers/fixtures/strings.json', import.meta.url), 'utf8'),
);

const root = mkdtempSync(join(tmpdir(), 'mm-siglip-'));
const runtimes: Runtime[] = [];
after(async () => {
  rmSync(root, { recursive: true });
  for (const runtime of runtimes) await runtime.close();
});
const start = (): Runtime => {
  runtimes.push(new Runtime());
  return runtimes.at(-1) as Runtime;
};

let count = 0;
async function convert(
  name: string,
  edit: (folder: string) => void = () => {},
): Promise<{ checkpoint: Checkpoint; notes: readonly string[] }> {
  const [from, to] = ['from', 'to'].map((part) => join(root, `${++count}-${part}`)) as [string, string];
  cpSync(join(FIXTURES, name), from, { recursive: true });
  edit(from);
  const { notes } = await convertWeights([from], to, {});
  return { checkpoint: await readCheckpoint(to, { kind: 'clip', warn: assert.fail }), notes };
}

const farthest = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  a.length === b.length
    ? Math.max(...Array.from(a, (value, i) => Math.abs(value - (b[i] as number))))
    : Number.POSITIVE_INFINITY;

const NOTES = { first: [/20 pixels.* 8: the last 4/], second: [/lower case/, /20 pixels/] };

for (const [name, wanted] of Object.entries(expected))
  test(`${name}: a converted SiglipModel gives transformers’ ids, features and probabilities`, async () => {
    const { checkpoint, notes } = await convert(name);
    const all = NOTES[name as keyof typeof NOTES];
    assert.equal(notes.length, all.length, `${notes}`);
    for (const [i, note] of all.entries()) assert.match(notes[i] as string, note);
    const { model: config } = checkpoint.config(clipCheckpointSchema);
    const tokenizer = await loadTokenizer(checkpoint.tokenizerFile);
    const rows = wanted.strings.map((text) => textTokens(text, tokenizer, config, true));
    assert.deepEqual([...(textBatch(rows, config).text.data as Int32Array)], wanted.ids.flat());
    const { end } = config.text.specialTokens ?? {};
    for (const [i, [text]] of strings.entries()) {
      // transformers encodes <unk> before a text, whose rounding decides between equally likely cuts of one word
      // written dozens of times without a space.
      if (/([a-z]+)\1{20}/.test(text)) continue;
      assert.deepEqual([...tokenizer.encode(text), end], ids[name]?.[i], JSON.stringify(text));
    }
    const model = await ClipPipeline.open(start(), checkpoint);
    const images = await model.encodeImages(Buffer.from(wanted.pixels, 'base64'));
    const texts = await model.encodeTexts(wanted.strings, true);
    assert.ok(farthest(images, wanted.imageFeatures) < 1e-5, 'images');
    assert.ok(farthest(texts, wanted.textFeatures) < 1e-5, 'texts');
    const probabilities = clipProbabilities(model, images, texts);
    assert.ok(farthest(probabilities, wanted.probabilities) < 1e-5, `${probabilities}`);
  });

type Json = Record<string, unknown> & Record<'text_config' | 'vision_config', Record<string, unknown>>;
const edited =
  (file: string, edit: (json: Json) => void) =>
  (folder: string): void => {
    const json = JSON.parse(readFileSync(join(folder, file), 'utf8'));
    edit(json);
    writeFileSync(join(folder, file), JSON.stringify(json));
  };

describe('what does not fit is refused with its reason', () => {
  for (const [what, code, says, edit] of [
    [
      'no tokenizer',
      'E_TOKENIZER_MISSING',
      /google\/siglip/,
      (folder: string) => rmSync(join(folder, 'spiece.model')),
    ],
    [
      'no config.json',
      'E_WEIGHTS_INCOMPLETE',
      /config\.json/,
      (folder: string) => rmSync(join(folder, 'config.json')),
    ],
    [
      'the config.json of a CLIP',
      'E_WEIGHTS_MISMATCH',
      /model_type/,
      edited('config.json', (json) => {
        json.model_type = 'clip';
      }),
    ],
    [
      'another depth',
      'E_WEIGHTS_MISMATCH',
      /layers\.2.*missing/,
      edited('config.json', ({ text_config: text }) => {
        text.num_hidden_layers = 3;
      }),
    ],
    [
      'a SiglipTokenizer that keeps capitals',
      'E_TOKENIZER_MISMATCH',
      /do_lower_case/,
      edited('tokenizer_config.json', (json) => {
        json.do_lower_case = false;
      }),
    ],
    [
      'a preprocessing that crops',
      'E_CLIP_PREPROCESSING',
      /do_center_crop/,
      edited('preprocessor_config.json', (json) => {
        json.do_center_crop = true;
      }),
    ],
    [
      'the images of NaFlex',
      'E_CLIP_PREPROCESSING',
      /Siglip2ImageProcessor/,
      edited('preprocessor_config.json', (json) => {
        json.image_processor_type = 'Siglip2ImageProcessor';
      }),
    ],
  ] as const)
    test(what, () =>
      assert.rejects(convert('first', edit), (error: Error & { code?: string; fix?: string }) => {
        assert.equal(error.code, code, error.message);
        assert.match(`${error.message} ${error.fix}`, says);
        return true;
      }),
    );

  test('padding that the files put before a text is told', async () => {
    const { notes } = await convert(
      'second',
      edited('tokenizer_config.json', (json) => {
        json.padding_side = 'left';
      }),
    );
    assert.match(notes.join('\n'), /padding stands after a text/);
  });

  test('a tokenizer under another name has to be the model’s kind', () =>
    assert.rejects(
      convert('second', (folder) => {
        const path = join(folder, 'tokenizer.json');
        renameSync(path, join(folder, 'spiece.model'));
        writeFileSync(join(folder, 'merges.txt'), '#version: 0.2\n');
        rmSync(join(folder, 'spiece.model'));
      }),
      { code: 'E_TOKENIZER_MISMATCH' },
    ));
});

describe('open_clip’s SigLIP with timm’s image tower', async () => {
  const reference = await tensors('siglip/step.safetensors');
  const dict = (prefix: string) =>
    new Map(
      [...reference].flatMap(([name, tensor]) => {
        if (!name.startsWith(`${prefix}.`)) return [];
        const own = name.slice(prefix.length + 1).replace(/^text\./, '');
        return [[own, externalTensor(tensor.dtype, tensor.shape, async () => tensor)] as const];
      }),
    );
  const tower = { heads: 2, normEpsilon: 1e-6 };
  const converted = (prefix: string) =>
    fromOpenai(dict(prefix), prefix, {
      activation: 'gelu',
      image: { ...tower, size: 20, mean: [0.5, 0.5, 0.5], stddev: [0.5, 0.5, 0.5] },
      // TextTransformer's layer norms have PyTorch's epsilon.
      text: { ...tower, normEpsilon: 1e-5, causal: false, pool: 'last', specialTokens: { padding: 0 } },
    });
  const before = converted('before');
  const host = async (from: ReturnType<typeof fromOpenai>): Promise<Map<string, HostTensor>> => {
    const entries = [...from.tensors].map(async ([name, { dtype, shape, data }]) => {
      const values = typeof data === 'function' ? await data() : data;
      return [name, { dtype, shape, data: values } as HostTensor] as const;
    });
    return new Map(await Promise.all(entries));
  };
  const data = (name: string): ArrayLike<number> => reference.get(name)!.data as Float32Array;
  const [batch, length] = reference.get('ids')!.shape as [number, number];

  const config = clipSchema.parse({
    data: { path: 'nowhere', tokenizer: 'nowhere' },
    model: before.model,
    train: {
      steps: 3,
      batch,
      optimizer: { learningRate: { peak: 1 }, beta2: 0.95, epsilon: 1e-2, weightDecay: 0 },
    },
  });

  const size = config.model.image.size;
  const chunks = (chunk: number) =>
    async function* () {
      for (let first = 0; first < batch; first += chunk) {
        const part = <T extends { slice(from: number, to: number): T }>(values: T, each: number): T =>
          values.slice(first * each, (first + chunk) * each);
        const pixels = part(data('pixels') as Uint8Array, size * size * 3);
        const mask = new Float32Array(chunk * length).fill(1);
        yield {
          pixels: { dtype: 'uint8', shape: [chunk, size, size, 3], data: pixels },
          text: { dtype: 'int32', shape: [chunk, length], data: part(data('ids') as Int32Array, length) },
          mask: { dtype: 'float32', shape: [chunk, length], data: mask },
        } as const;
      }
    };

  test('its configuration follows from the tensors', () => {
    assert.deepEqual(clipModelSchema.parse(before.model), before.model);
    const { loss, image, text } = before.model;
    assert.deepEqual(
      [loss, image.pool, image.projection, text.projection],
      ['sigmoid', 'map', 'none', 'affine'],
    );
  });

  /** Of the logits, both ways, before the first update. */
  const rows = Array.from({ length: batch }, (_, i) =>
    Array.from({ length: batch }, (_, j) => data('logits')[i * batch + j] as number),
  );
  const columns = rows.map((_, j) => rows.map((row) => row[j] as number));
  const hits = [...rows, ...columns].filter((logits, i) => Math.max(...logits) === logits[i % batch]).length;
  const firstAccuracy = hits / (2 * batch);

  for (const chunk of [batch, 2])
    test(`three updates, ${chunk === batch ? 'whole' : `${chunk} pairs at a time`}: within 1e-5 of SigLipLoss`, async () => {
      const runtime = start();
      const weights = new Weights(runtime, 'clip', clipSpec(config.model));
      const optimizer = new Adam(runtime, 'clip', weights.trained, config.train.optimizer);
      await weights.load(await host(before));
      await optimizer.moments.initialize(0);
      const parts = { runtime, config, weights, optimizer, ema: undefined };
      const step = chunk === batch ? wholeStep(parts) : cachedStep(parts, chunk);
      const results = [];
      for (const [i, rate] of [1e-2, 2e-2, 1.5e-2].entries())
        results.push(await step(i, rate, chunks(chunk)));
      assert.ok(Math.abs(results[0]!.accuracy - firstAccuracy) < 1e-6);
      for (const [i, { loss, gradientNorm }] of results.entries()) {
        assert.ok(Math.abs(loss / data('losses')[i]! - 1) < 1e-5, `loss ${loss}`);
        assert.ok(Math.abs(gradientNorm / data('norms')[i]! - 1) < 1e-5, `norm ${gradientNorm}`);
      }
      const saved = await weights.save();
      const wanted = await host(converted('after'));
      assert.equal(saved.size, wanted.size);
      for (const [name, { data }] of wanted)
        assert.ok(farthest(saved.get(name)!.data as Float32Array, data as Float32Array) < 1e-5, name);
      const { logitBias, logitScale } = results.at(-1)!;
      assert.ok(Math.abs(logitBias! - Number(wanted.get('logit_bias')!.data[0])) < 1e-5);
      assert.ok(Math.abs(Math.log(logitScale) - Number(wanted.get('logit_scale')!.data[0])) < 1e-5);
    });
});
