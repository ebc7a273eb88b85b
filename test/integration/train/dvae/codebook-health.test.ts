// Validation metrics of a dVAE against a slow computation; and the warning of a collapse.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { readCheckpoint } from '../../../../src/checkpoint/read.ts';
import { decodeImage } from '../../../../src/data/decode.ts';
import { readImages } from '../../../../src/data/sources/resolve.ts';
import { isValidation } from '../../../../src/data/split.ts';
import { Runtime } from '../../../../src/engine/session/runtime.ts';
import { DvaeCodec } from '../../../../src/inference/dvae/codec.ts';
import { codebookUse } from '../../../../src/inference/measures/codebook.ts';
import { psnrOf, ssim } from '../../../../src/inference/measures/reconstruction.ts';
import { readMetrics } from '../../../../src/report/run/metrics.ts';
import { TINY, writeImages } from '../../../support/tiny-dvae.ts';
import { dvaeConfig, dvaeSession } from '../../../support/tiny-runs.ts';

const root = mkdtempSync(join(tmpdir(), 'mm-health-'));
const data = join(root, 'images');
before(() => writeImages(data, 40));
after(() => rmSync(root, { recursive: true }));

for (const batch of [4, 20])
  test(`every metric equals the slow computation, in batches of ${batch}`, () => checkMetrics(batch));

async function checkMetrics(batch: number): Promise<void> {
  const config = dvaeConfig(data, 0, { steps: 12, batch, evaluateEvery: 12, saveEvery: 12 });
  const run = join(root, `run ${batch}`);
  const { evaluation } = await dvaeSession(config)(run);

  const images = (await readImages(data, { captions: 'ignore' })).filter(({ key }) => isValidation(key, 0.2));
  const size = TINY.imageSize;
  // They do not fill a batch of 20; then they are one, each once.
  const atOnce = Math.min(batch, images.length);
  const whole = images.slice(0, Math.floor(images.length / atOnce) * atOnce);
  assert.ok(whole.length >= 4 && whole.length < 20);
  const originals = Buffer.concat(
    await Promise.all(whole.map(({ path }) => decodeImage(path, { size, crop: 'center' }))),
  );
  const runtime = new Runtime();
  try {
    const codec = await DvaeCodec.open(
      runtime,
      await readCheckpoint(run, { kind: 'dvae', warn: assert.fail }),
    );
    const codes = await codec.encode(originals);
    const made = await codec.decode(codes);
    const near = (name: string, expected: number, tolerance: number): void => {
      const far = Math.abs(evaluation[name]! - expected);
      assert.ok(far <= tolerance, `${name} is ${evaluation[name]}, not ${expected}`);
    };
    const mse = originals.reduce((sum, v, i) => sum + ((v - made[i]!) / 255) ** 2, 0) / originals.length;
    near('mse', mse, 2e-5); // here pixels are rounded to 8 bits
    const length = size ** 2 * 3;
    const of = (pixels: Uint8Array, i: number): Uint8Array => pixels.subarray(i * length, (i + 1) * length);
    const similarity = Array.from({ length: atOnce }, (_, i) => ssim(of(originals, i), of(made, i), size));
    near(
      'ssim',
      similarity.reduce((sum, value) => sum + value / atOnce, 0),
      1e-3,
    );
    const { used, dead, perplexity } = codebookUse([codes], TINY.vocabulary);
    near('codesUsed', used, 0);
    near('deadCodes', dead, 0);
    near('perplexity', perplexity, 1e-9);
    // Another draw of the noise: near, not equal.
    near('softMse', await codec.relaxedError(originals, 0.0625, 1), evaluation.softMse! / 3);
    near('softHardGap', psnrOf(evaluation.softMse!) - psnrOf(evaluation.mse!), 1e-9);
    assert.ok(evaluation.kl! > 0 && evaluation.kl! <= 16 * Math.log(TINY.vocabulary));
    assert.ok(Number.isFinite(evaluation.reconstruction));
  } finally {
    await runtime.close();
  }
}

test('a collapse causes one warning, early, with advice', async () => {
  // A KL of this weight collapses the codebook.
  const config = dvaeConfig(data, 0, {
    steps: 40,
    evaluateEvery: 10,
    saveEvery: 40,
    kl: { weight: 1e5, steps: 0 },
    codebook: { warnBelow: 0.5 },
    optimizer: { learningRate: { peak: 1e-2 } },
  });
  const run = join(root, 'collapse');
  const { evaluation } = await dvaeSession(config)(run);
  assert.ok(evaluation.perplexity! < TINY.vocabulary / 2);
  const warnings = readFileSync(join(run, 'log.jsonl'), 'utf8')
    .split('\n')
    .filter((line) => line.includes('collapsing'));
  assert.equal(warnings.length, 1, warnings.join('\n'));
  assert.match(warnings[0]!, /\bstep 10: .*\b\d+ of 24 codes .*train\.warmStart/);
});

test('reviving dead codes raises the use of the codebook', async () => {
  const settings = {
    steps: 60,
    batch: 8,
    evaluateEvery: 20,
    saveEvery: 60,
    kl: { weight: 0, steps: 0 },
    temperature: { start: 0.25, end: 0.25 },
    ema: undefined,
    minLogScale: -1,
    optimizer: { learningRate: { peak: 1e-3 } },
  };
  const use = async (name: string, codebook: object): Promise<number[]> => {
    await dvaeSession(dvaeConfig(data, 0, { ...settings, codebook }))(join(root, name));
    const lines = await readMetrics(join(root, name, 'metrics.jsonl'));
    return lines.flatMap(({ values }) => values['validation/perplexity'] ?? []);
  };
  const plain = await use('plain', {});
  const revived = await use('revived', { revive: { every: 20 } });
  assert.equal(revived[0], plain[0]);
  for (const i of [1, 2, 3])
    assert.ok(
      revived[i]! > 1.3 * plain[i]!,
      `perplexity ${revived.join(' → ')} against ${plain.join(' → ')}`,
    );
  assert.match(readFileSync(join(root, 'revived', 'log.jsonl'), 'utf8'), /step 20: \d+ dead codes revived/);
});
