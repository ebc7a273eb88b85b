// CLIP against transformers, open_clip and DALLE-pytorch: the same random weights, read by our converters, give the same
// features and logits; and every part of the models counts in the comparison. scripts/fixtures/clip.py wrote them.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { TensorData } from '../../src/checkpoint/dtype.ts';
import { SafetensorsFile } from '../../src/checkpoint/safetensors.ts';
import { fromHuggingFace } from '../../src/convert/clip/hugging-face.ts';
import { type ConvertedClip, fromDallePytorch, fromOpenai } from '../../src/convert/clip/weights.ts';
import { externalTensor, type StateDict, toFloat32 } from '../../src/convert/tensors.ts';
import { TorchFile } from '../../src/convert/torch/file.ts';
import { stateDict } from '../../src/convert/torch/state-dict.ts';
import { useTensorFlow } from '../../src/engine/tfjs/backend.ts';
import { type Tensor, type Tensor2D, tf } from '../../src/engine/tfjs/tf.ts';
import { clipLoss, similarities } from '../../src/models/clip/loss.ts';
import {
  type ClipParameters,
  clipSpec,
  encodeImage,
  encodeText,
  normalizePixels,
} from '../../src/models/clip/model.ts';
import { textBatch } from '../../src/models/clip/text.ts';
import { flatten, unflatten } from '../../src/nn/parameters.ts';
import { DataError } from '../../src/util/errors.ts';
import { RandomStream } from '../../src/util/random.ts';
import { largestDifference, numbers, randomTensor } from '../support/perturbed.ts';

useTensorFlow();

const FIXTURES = fileURLToPath(new URL('./fixtures/clip/', import.meta.url));
const expected = JSON.parse(readFileSync(`${FIXTURES}expected.json`, 'utf8'));

const inMemory = (tensor: TensorData) => externalTensor(tensor.dtype, tensor.shape, async () => tensor);

async function read(name: string): Promise<StateDict> {
  if (name.endsWith('.pt')) {
    const file = await TorchFile.open(FIXTURES + name);
    try {
      const tensors = [...stateDict(file.value, name)];
      const whole = await Promise.all(
        tensors.map(async ([key, tensor]) => [key, await tensor.read()] as const),
      );
      return new Map(whole.map(([key, tensor]) => [key, inMemory(tensor)]));
    } finally {
      await file.close();
    }
  }
  const file = await SafetensorsFile.open(FIXTURES + name);
  try {
    const tensors = await file.readAll();
    return new Map(Array.from(tensors, ([name, tensor]) => [name, inMemory(tensor)]));
  } finally {
    await file.close();
  }
}

type Change = (name: string, tensor: Tensor) => Tensor;

interface LoadedClip {
  readonly model: ConvertedClip['model'];
  readonly tensors: ReadonlyMap<string, Float32Array>;
}

async function load({ model, tensors }: ConvertedClip): Promise<LoadedClip> {
  const all = new Map<string, Float32Array>();
  for (const [name, { dtype, shape, data }] of tensors)
    all.set(
      name,
      await toFloat32(inMemory({ dtype, shape, data: await (data as () => Promise<TensorData['data']>)() })),
    );
  return { model, tensors: all };
}

/** The parameters as eager tensors, each after `change`. */
function parameters({ model, tensors }: LoadedClip, change: Change = (_, tensor) => tensor): ClipParameters {
  const shapes = new Map(flatten(clipSpec(model)).map(([name, { shape }]) => [name, shape]));
  return unflatten(clipSpec(model), (name) =>
    change(name, tf.tensor(tensors.get(name)!, [...shapes.get(name)!])),
  );
}

/** Changes one parameter at random, upwards if it is a variance. */
const shaken =
  (changed: string): Change =>
  (name, tensor) => {
    if (name !== changed) return tensor;
    const noise = randomTensor(tensor.shape, new RandomStream('shaken', name), 0.3);
    return tf.add(tensor, name.endsWith('variance') ? tf.abs(noise) : noise);
  };

const pixelsOf = (base64: string, { model }: LoadedClip): Tensor => {
  const { size } = model.image;
  const bytes = Buffer.from(base64, 'base64');
  return tf.tensor(Float32Array.from(bytes), [bytes.length / (size * size * 3), size, size, 3]);
};

interface Outputs {
  readonly imageFeatures: number[];
  readonly textFeatures: number[];
  readonly logits: number[];
}

function run(
  clip: LoadedClip,
  p: ClipParameters,
  { pixels, texts }: { pixels: string; texts: number[][] },
): Outputs {
  const { text, mask } = textBatch(texts, clip.model);
  const tensor = ({ data, shape, dtype }: typeof text) =>
    tf.tensor(data as Float32Array, [...shape], dtype as 'int32');
  const x = normalizePixels(pixelsOf(pixels, clip), clip.model.image);
  const images = encodeImage(p.image, x, clip.model);
  const encoded = encodeText(p.text, tensor(text) as Tensor2D, tensor(mask) as Tensor2D, clip.model);
  return {
    imageFeatures: numbers(images),
    textFeatures: numbers(encoded),
    logits: numbers(similarities(images, encoded, { scale: p.logit_scale })),
  };
}

const difference = (a: Outputs, b: Outputs): number =>
  Math.max(
    ...(['imageFeatures', 'textFeatures', 'logits'] as const).map((key) => largestDifference(a[key], b[key])),
  );

const CASES: Record<string, [key: string, convert: () => Promise<ConvertedClip>]> = {
  'transformers, ViT': [
    'transformers',
    async () =>
      fromHuggingFace(
        await read('transformers/model.safetensors'),
        JSON.parse(readFileSync(`${FIXTURES}transformers/config.json`, 'utf8')),
        'there',
      ),
  ],
  'open_clip, ResNet': [
    'openClipResnet',
    async () => fromOpenai(await read('open-clip-resnet.safetensors'), 'there'),
  ],
  'open_clip, ViT with GELU, TorchScript': [
    'openClipVit',
    async () => fromOpenai(await read('open-clip-vit.pt'), 'there', { activation: 'gelu' }),
  ],
};

for (const [name, [key, convert]] of Object.entries(CASES)) {
  describe(name, () => {
    let clip: LoadedClip;
    before(async () => {
      clip = await load(await convert());
    });

    test('the same features and logits', () => {
      const worst = difference(run(clip, parameters(clip), expected[key]), expected[key]);
      assert.ok(worst < 1e-4, `differs by ${worst}`);
    });

    test('every parameter counts: each one shaken is seen', () => {
      const silent = flatten(clipSpec(clip.model)).flatMap(([changed]) => {
        // All keys moved by the same leave a softmax as it is.
        if (changed === 'image.pool.key.bias') return [];
        const worst = difference(run(clip, parameters(clip, shaken(changed)), expected[key]), expected[key]);
        return worst < 1e-3 ? [`${changed} ${worst}`] : [];
      });
      assert.deepEqual(silent, []);
    });
  });
}

test('the activation counts', async () => {
  const clip = await load(fromOpenai(await read('open-clip-vit.pt'), 'there'));
  assert.ok(difference(run(clip, parameters(clip), expected.openClipVit), expected.openClipVit) > 1e-3);
});

describe('DALLE-pytorch', () => {
  const { pixels, text, mask, similarities: cosines, loss, lossWithoutMask } = expected.dallePytorch;
  let clip: LoadedClip;
  before(async () => {
    clip = await load(fromDallePytorch(await read('dalle-pytorch.safetensors'), 'there'));
  });
  const ours = (p: ClipParameters, masked: readonly number[]) => {
    const shape: [number, number] = [masked.length / clip.model.text.length, clip.model.text.length];
    const images = encodeImage(
      p.image,
      normalizePixels(pixelsOf(pixels, clip), clip.model.image),
      clip.model,
    );
    const texts = encodeText(
      p.text,
      tf.tensor2d(text, shape, 'int32'),
      tf.tensor2d([...masked], shape),
      clip.model,
    );
    const diagonal = tf.mul(tf.sum(tf.mul(images, texts), 1), tf.exp(p.logit_scale));
    return {
      loss: clipLoss(images, texts, { scale: p.logit_scale }).loss.dataSync()[0]!,
      similarities: numbers(diagonal),
    };
  };

  test('the same loss with a mask that has holes, within 1e-5', () => {
    const result = ours(parameters(clip), mask);
    assert.ok(Math.abs(result.loss - loss) < 1e-5, `${result.loss} against ${loss}`);
    assert.ok(largestDifference(result.similarities, cosines) < 1e-5);
  });

  test('and without a mask, which gives another', () => {
    const result = ours(
      parameters(clip),
      mask.map(() => 1),
    );
    assert.ok(Math.abs(result.loss - lossWithoutMask) < 1e-5);
    assert.ok(Math.abs(loss - lossWithoutMask) > 1e-3);
  });

  test('every parameter counts', () => {
    const silent = flatten(clipSpec(clip.model)).flatMap(([changed]) => {
      const worst = Math.abs(ours(parameters(clip, shaken(changed)), mask).loss - loss);
      return worst < 3e-5 ? [`${changed} ${worst}`] : [];
    });
    assert.deepEqual(silent, []);
  });
});

describe('weights that do not fit', () => {
  const refuses = (make: () => unknown, says: RegExp): void =>
    assert.throws(make, (error) => error instanceof DataError && says.test(error.message));

  test('a tensor is missing, unknown, or of another shape', async () => {
    const whole = await read('open-clip-vit.pt');
    const without = new Map(whole);
    without.delete('ln_final.bias');
    refuses(() => fromOpenai(without, 'there'), /ln_final\.bias is missing/);
    refuses(
      () => fromOpenai(new Map([...whole, ['head.weight', whole.get('ln_final.bias')!]]), 'there'),
      /head\.weight unknown/,
    );
    const odd = new Map([...whole, ['visual.proj', whole.get('ln_final.bias')!]]);
    refuses(() => fromOpenai(odd, 'there'), /visual\.proj is \[64\]/);
  });

  test('a configuration of another model', async () => {
    const whole = await read('transformers/model.safetensors');
    refuses(() => fromHuggingFace(whole, { model_type: 'bert' }, 'there'), /config\.json: model_type/);
  });
});
