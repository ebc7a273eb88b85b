// Activations that the gradient of the joint Transformer keeps per layer: the difference between the peaks of its graph
// at two depths.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { dalleSchema } from '../../../src/config/dalle.ts';
import { peakBytes, pruneUnneeded } from '../../../src/engine/graph/cost.ts';
import { Runtime } from '../../../src/engine/session/runtime.ts';
import { planDalle } from '../../../src/train/plan/dalle.ts';

const runtimes: Runtime[] = [];
after(async () => {
  for (const runtime of runtimes) await runtime.close();
});

const [BATCH, WIDTH, HEADS] = [2, 32, 4];
const [TEXT, GRID] = [16, 8];
const POSITIONS = TEXT + GRID ** 2;
/** Bytes of the residual stream, [B, N, D]. */
const STREAM = BATCH * POSITIONS * WIDTH * 4;

function peak(layers: number, model: object, train: object): number {
  const runtime = new Runtime();
  runtimes.push(runtime);
  const config = dalleSchema.parse({
    data: { path: 'nowhere', dvae: 'nowhere', tokenizer: 'nowhere' },
    model: {
      textLength: TEXT,
      textVocabulary: 40,
      grid: GRID,
      imageVocabulary: 20,
      width: WIDTH,
      heads: HEADS,
      layers,
      ...model,
    },
    train: { steps: 1, batch: BATCH, optimizer: { learningRate: { peak: 1 } }, ...train },
  });
  const { nodes, results } = planDalle(runtime, config, config.train.recompute ?? 'light').gradients(BATCH);
  return peakBytes(pruneUnneeded(nodes, results), results);
}

/** In residual streams. */
const keptPerLayer = (model: object, train: object = {}): number =>
  (peak(9, model, train) - peak(5, model, train)) / 4 / STREAM;

describe('a layer keeps', () => {
  // The inputs of both branches, queries, keys, values, and four times as many hidden channels.
  const ACTIVATIONS = 1 + 1 + 3 + 4;
  // Both norms' inputs and outputs, means and deviations; queries before and after they are scaled, keys,
  // values, what is attended by head and side by side; the hidden channels, their Φ, and their product.
  const EVERYTHING = 2 * (2 + 2 / WIDTH) + 4 + 2 + 3 * 4;
  const dropout = { attention: 0.1, feedForward: 0.1 };
  /** Of full attention, and the mean under them. */
  const weights = (BATCH * HEADS * POSITIONS ** 2 * 4) / STREAM + 1;
  const cases: [model: object, train: object, streams: number][] = [
    [{ attention: ['row'] }, {}, ACTIVATIONS],
    [{ attention: ['column'] }, { dropout }, ACTIVATIONS],
    [{ attention: ['conv'], rotary: true, tokenShift: true }, {}, ACTIVATIONS],
    [{ attention: ['row'], gated: true }, {}, ACTIVATIONS + 4],
    [{ attention: ['full'] }, {}, ACTIVATIONS + weights],
    [{ attention: ['full'] }, { recompute: 'none' }, EVERYTHING + weights - 1],
    [{ attention: ['row'] }, { recompute: 'full' }, 1],
    [{ attention: ['full'] }, { recompute: 'full', dropout }, 1],
    [{ attention: ['row'], reversible: true }, { recompute: 'full' }, 0],
  ];
  for (const [model, train, streams] of cases) {
    test(`${JSON.stringify({ ...model, ...train })}: ${streams} residual streams`, () => {
      const measured = keptPerLayer(model, train);
      assert.ok(Math.abs(measured - streams) < 0.05, measured.toFixed(3));
    });
  }
});
