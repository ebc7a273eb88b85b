// Embeddings initialized from a codebook: similar codes are close, no two are equal, and a seed repeats them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dalleModelSchema } from '../../../../src/config/dalle-model.ts';
import type { HostTensor } from '../../../../src/engine/native/tensor.ts';
import { Runtime } from '../../../../src/engine/session/runtime.ts';
import { dalleSpec } from '../../../../src/models/dalle/model.ts';
import { Weights } from '../../../../src/nn/weights.ts';
import { codebookInit } from '../../../../src/train/dalle/codebook-init.ts';

const [CODES, WIDTH, STDDEV] = [24, 64, 0.05];
const sizes = { textLength: 2, textVocabulary: 4, grid: 2, imageVocabulary: CODES, width: WIDTH };
const depth = { layers: 1, heads: 1, initialStddev: STDDEV };

/** Codes in three clusters, 0 3 6 …, 1 4 7 … and 2 5 8 …, a little apart within each. */
const vectors: HostTensor = {
  dtype: 'float32',
  shape: [CODES, 3],
  data: Float32Array.from({ length: 3 * CODES }, (_, i) => {
    const [code, channel] = [Math.floor(i / 3), i % 3];
    return (code % 3 === channel ? 5 : 0) + 0.02 * code;
  }),
};

async function started(seed: number, tied = false) {
  const model = dalleModelSchema.parse({ ...sizes, ...depth, attention: ['full'], tiedEmbeddings: tied });
  const runtime = new Runtime();
  try {
    const weights = new Weights(runtime, 'model', dalleSpec(model));
    await weights.initialize(seed);
    const random = await weights.save();
    await codebookInit(runtime, weights, vectors, { model, seed });
    return { random, start: await weights.save() };
  } finally {
    await runtime.close();
  }
}

/** Rows of a matrix [rows, columns], or its columns. */
function lines({ data, shape }: HostTensor, byColumn = false): number[][] {
  const [rows, columns] = shape as [number, number];
  const [lines, length] = byColumn ? [columns, rows] : [rows, columns];
  const at = (line: number, i: number): number => (byColumn ? i * columns + line : line * columns + i);
  return Array.from({ length: lines }, (_, line) =>
    Array.from({ length }, (_, i) => Number(data[at(line, i)])),
  );
}

const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, x, i) => sum + x * (b[i] as number), 0);
const cosine = (a: readonly number[], b: readonly number[]): number =>
  dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));

function assertClustered(vectors: readonly (readonly number[])[]): void {
  for (const [i, a] of vectors.entries()) {
    for (const [j, b] of vectors.entries()) {
      if (i === j) continue;
      const near = cosine(a, b);
      if (i % 3 === j % 3) assert.ok(near > 0.75 && near < 0.999, `${i} and ${j}: ${near}`);
      else assert.ok(near < 0.3, `${i} and ${j}: ${near}`);
    }
  }
}

test('codes of similar looks start close, in embeddings and in logits, and no two are equal', async () => {
  const { random, start } = await started(1);
  const embeddings = lines(start.get('image_embedding') as HostTensor);
  const logits = lines(start.get('image_head.weight') as HostTensor, true);
  assertClustered(embeddings);
  assertClustered(logits);
  for (const [i, row] of embeddings.entries()) assert.ok(cosine(row, logits[i] as number[]) > 0.75);
  const deviation = Math.sqrt(embeddings.flat().reduce((sum, x) => sum + x * x, 0) / (CODES * WIDTH));
  assert.ok(Math.abs(deviation / STDDEV - 1) < 0.15, `${deviation}`);
  for (const [name, { data }] of start) {
    if (name !== 'image_embedding' && name !== 'image_head.weight')
      assert.deepEqual(data, random.get(name)?.data, name);
  }
});

test('the same seed gives the same embeddings, another seed others', async () => {
  const embedding = async (seed: number) => (await started(seed)).start.get('image_embedding')?.data;
  const first = await embedding(1);
  assert.deepEqual(await embedding(1), first);
  assert.notDeepEqual(await embedding(2), first);
});

test('tied embeddings are initialized once', async () => {
  const { start } = await started(1, true);
  assert.ok(!start.has('image_head.weight'));
  assertClustered(lines(start.get('image_embedding') as HostTensor));
});
