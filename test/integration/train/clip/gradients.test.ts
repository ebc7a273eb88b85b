// CLIP's gradients, with activations kept and computed again.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RECOMPUTES, type Recompute } from '../../../../src/config/fields.ts';
import { peakBytes, pruneUnneeded } from '../../../../src/engine/graph/cost.ts';
import { Runtime } from '../../../../src/engine/session/runtime.ts';
import { clipSpec } from '../../../../src/models/clip/model.ts';
import { textBatch } from '../../../../src/models/clip/text.ts';
import { BatchStatistics } from '../../../../src/nn/batch-norm.ts';
import { Weights } from '../../../../src/nn/weights.ts';
import { type ClipInputs, clipGradients } from '../../../../src/train/clip/gradients.ts';
import { clipConfig } from '../../../support/tiny-runs.ts';

const SIZE = 16;
const BATCH = 2;
const LAYERS = 4;

for (const architecture of ['openai', 'dalle-pytorch']) {
  test(`${architecture}: the gradients have the same bits whatever is recomputed, and less is kept`, async () => {
    const runtime = new Runtime();
    const image = { size: SIZE, patch: 8, width: 16, layers: LAYERS, heads: 2 };
    const text = { vocabulary: 266, length: 12, width: 16, layers: LAYERS, heads: 2 };
    const { model, train } = clipConfig(
      { path: 'nowhere', tokenizer: 'nowhere' },
      { model: { architecture, image, text } },
    );
    const weights = new Weights(runtime, 'clip', clipSpec(model));
    await weights.initialize(0);
    const shape = [BATCH, SIZE, SIZE, 3];
    const data = Uint8Array.from({ length: BATCH * SIZE ** 2 * 3 }, (_, i) => (i * 7919) % 256);
    const captions = [
      [1, 5, 7, 2],
      [1, 9, 2],
    ];
    const inputs = { pixels: { dtype: 'uint8', shape, data }, ...textBatch(captions, model) } as const;
    const gradientsWith = async (recompute: Recompute) => {
      const gradients = runtime.compile(`gradients, ${recompute}`, (given: ClipInputs) => {
        const config = { model, train: { ...train, recompute } };
        return Object.fromEntries(clipGradients(weights, config, given, new BatchStatistics()).gradients);
      });
      const { nodes, results } = gradients.examine(inputs);
      return { bytes: peakBytes(pruneUnneeded(nodes, results), results), values: await gradients(inputs) };
    };
    const none = await gradientsWith('none');
    let { bytes } = none;
    for (const recompute of RECOMPUTES.slice(1)) {
      const other = await gradientsWith(recompute);
      assert.deepEqual(other.values, none.values);
      assert.ok(other.bytes < 0.9 * bytes, `${recompute}: ${other.bytes}, ${bytes}`);
      ({ bytes } = other);
    }
    await runtime.close();
  });
}
