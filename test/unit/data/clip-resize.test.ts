// The resize modes and interpolations of open_clip; scripts/fixtures/open_clip_folders.py wrote what its transform gives.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import sharp from 'sharp';
import { type ClipImageConfig, clipModelSchema } from '../../../src/config/clip.ts';
import { clipInput } from '../../../src/data/clip-input.ts';
import { decodeBuffer } from '../../../src/data/decode.ts';

interface ResizeCase {
  readonly mode: ClipImageConfig['resize'];
  readonly interpolation: ClipImageConfig['interpolation'];
  readonly width: number;
  readonly height: number;
  readonly image: string;
  readonly pixels: string;
}
const cases: readonly ResizeCase[] = JSON.parse(
  readFileSync(new URL('./fixtures/clip-resize.json', import.meta.url), 'utf8'),
);
const SIZE = 16;

async function differences(each: ResizeCase, changes: object = {}): Promise<readonly number[]> {
  const { width, height, mode: resize, interpolation } = each;
  const image = { size: SIZE, patch: 8, resize, interpolation, fill: 127, ...changes };
  const config = clipModelSchema.parse({ image }).image;
  const png = await sharp(Buffer.from(each.image, 'base64'), { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
  const { pixels } = await decodeBuffer(png, clipInput(config));
  const wanted = Buffer.from(each.pixels, 'base64');
  assert.equal(pixels.length, wanted.length);
  return Array.from(pixels, (level, i) => Math.abs(level - (wanted[i] as number)));
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b) / values.length;

describe("images are resized as open_clip's transform does", () => {
  for (const each of cases) {
    const { mode, interpolation, width, height } = each;
    test(`${mode}, ${interpolation}, ${width} × ${height}: within 3 levels, and closer than with another mode or interpolation`, async () => {
      const own = await differences(each);
      assert.ok(Math.max(...own) <= 3, `${Math.max(...own)}`);
      const changes = [
        ...(['shortest', 'longest', 'squash'] as const).map((resize) => ({ resize })),
        ...(['bicubic', 'bilinear'] as const).map((interpolation) => ({ interpolation })),
      ].filter((change) =>
        Object.entries({ resize: mode, interpolation }).some(
          ([key, value]) => Reflect.get(change, key) !== value && key in change,
        ),
      );
      assert.equal(changes.length, 3);
      for (const change of changes)
        assert.ok(mean(await differences(each, change)) > 2 * mean(own) + 0.2, JSON.stringify(change));
    });
  }

  test('the padding has the configured level', async () => {
    const longest = cases.find(({ mode }) => mode === 'longest') as ResizeCase;
    assert.ok(Math.max(...(await differences(longest, { fill: 0 }))) >= 125);
  });
});
