// Images as OpenAI's release prepares them (resize with Lanczos, centre crop), against PIL and torchvision.
// Fixture: scripts/fixtures/preprocessing.py.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import sharp from 'sharp';
import type { TensorData } from '../../src/checkpoint/dtype.ts';
import { decodeBuffer } from '../../src/data/decode.ts';
import { expected } from '../support/parity.ts';

const SIZE = 32;

describe('the published preprocessing', () => {
  let kept: Map<string, TensorData>;
  before(async () => {
    kept = await expected('preprocessing.safetensors');
  });

  /** Differences of our pixels from theirs. */
  async function differences(name: string): Promise<number[]> {
    const { data, shape } = kept.get(name)!;
    const [height, width] = shape as [number, number, number];
    const png = await sharp(data as Uint8Array, { raw: { width, height, channels: 3 } })
      .png()
      .toBuffer();
    const { pixels } = await decodeBuffer(png, { size: SIZE, crop: 'center' });
    const theirs = kept.get(`${name} prepared`)!.data as Uint8Array;
    assert.equal(pixels.length, theirs.length);
    return Array.from(pixels, (value, i) => Math.abs(value - theirs[i]!));
  }

  for (const name of ['33x32', '32x35', '37x32']) {
    test(`${name}: the crop begins where theirs does`, async () => {
      assert.equal(Math.max(...(await differences(name))), 0);
    });
  }

  for (const name of ['70x50', '41x77', '100x74']) {
    test(`${name}: reduced, pixels differ by less than one level on average`, async () => {
      const all = await differences(name);
      const mean = all.reduce((a, b) => a + b) / all.length;
      assert.ok(mean < 1, `${mean}`);
      assert.ok(all.filter((d) => d > 4).length < 0.03 * all.length, 'few differ by more, at sharp edges');
    });
  }
});
