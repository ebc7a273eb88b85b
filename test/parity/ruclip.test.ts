// A ruCLIP, converted from its folder, against the package `ruclip` (scripts/fixtures/ruclip_models.py).

import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readCheckpoint } from '../../src/checkpoint/read.ts';
import { clipCheckpointSchema } from '../../src/config/clip.ts';
import { convertWeights } from '../../src/convert/convert.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { ClipPipeline } from '../../src/inference/clip/pipeline.ts';
import { textBatch, textTokens } from '../../src/models/clip/text.ts';
import { loadTokenizer } from '../../src/tokenizers/load.ts';
import { DataError, UsageError } from '../../src/util/errors.ts';
import { clipProbabilities } from '../support/clip-probabilities.ts';
import { largestDifference } from '../support/perturbed.ts';

const FIXTURE = join(import.meta.dirname, 'fixtures', 'ruclip');
const expected = JSON.parse(readFileSync(join(FIXTURE, 'expected.json'), 'utf8')) as {
  readonly pixels: string;
  readonly strings: readonly string[];
  readonly ids: readonly (readonly number[])[];
  readonly imageFeatures: readonly number[];
  readonly textFeatures: readonly number[];
  readonly probabilities: readonly number[];
};
type Config = Record<string, unknown>;

const root = mkdtempSync(join(tmpdir(), 'mm-ruclip-'));
after(() => rmSync(root, { recursive: true }));
let folders = 0;

/** Converts the folder without one file, or with another configuration. */
async function convert({ without, config }: { without?: string; config?: Config } = {}) {
  const [from, to] = [join(root, `${++folders} theirs`), join(root, `${folders} ours`)];
  cpSync(FIXTURE, from, { recursive: true });
  rmSync(join(from, without ?? 'expected.json'));
  const path = join(from, 'config.json');
  if (config) writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), ...config }));
  const { notes } = await convertWeights([from], to, {});
  return { checkpoint: await readCheckpoint(to, { kind: 'clip', warn: assert.fail }), notes };
}

async function outputs({ checkpoint }: Awaited<ReturnType<typeof convert>>) {
  const runtime = new Runtime();
  try {
    const pipeline = await ClipPipeline.open(runtime, checkpoint);
    const images = await pipeline.encodeImages(Buffer.from(expected.pixels, 'base64'));
    const texts = await pipeline.encodeTexts(expected.strings, true);
    const { model } = checkpoint.config(clipCheckpointSchema);
    const tokenizer = await loadTokenizer(checkpoint.tokenizerFile);
    const rows = expected.strings.map((text) => textTokens(text, tokenizer, model, true));
    const ids = [...(textBatch(rows, model).text.data as Int32Array)];
    return { images, texts, probabilities: clipProbabilities(pipeline, images, texts), ids, model };
  } finally {
    await runtime.close();
  }
}

test('ids are identical; features and probabilities are within 1e-4', async () => {
  const { images, texts, probabilities, ids, model } = await outputs(await convert());
  assert.deepEqual(ids, expected.ids.flat());
  assert.ok(largestDifference(images, expected.imageFeatures) < 1e-4);
  assert.ok(largestDifference(texts, expected.textFeatures) < 1e-4);
  assert.ok(largestDifference(probabilities, expected.probabilities) < 1e-4);
  assert.deepEqual([model.image.interpolation, model.image.heads], ['bilinear', 2]);
});

test('heads and mean of config.json matter, and a crop that differs is noted', async () => {
  const changed = await convert({ config: { transformer_heads: 2, mean: [0.4, 0.5, 0.5] } });
  const { images, texts } = await outputs(changed);
  assert.ok(largestDifference(images, expected.imageFeatures) > 1e-3);
  assert.ok(largestDifference(texts, expected.textFeatures) > 1e-3);
  assert.ok(changed.notes.some((note) => /crop/.test(note)));
});

test('what is missing or of another model is one error', async () => {
  const refuses = (change: Parameters<typeof convert>[0], code: string): Promise<void> =>
    assert.rejects(
      convert(change),
      (error) => (error instanceof DataError || error instanceof UsageError) && error.code === code,
    );
  await refuses({ without: 'bpe.model' }, 'E_TOKENIZER_MISSING');
  await refuses({ without: 'config.json' }, 'E_WEIGHTS_INCOMPLETE');
  await refuses({ config: { image_resolution: 32 } }, 'E_WEIGHTS_MISMATCH');
  await refuses({ config: { embed_dim: undefined } }, 'E_WEIGHTS_MISMATCH');
});
