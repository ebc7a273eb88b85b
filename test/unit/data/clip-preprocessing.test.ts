// Images as openai/CLIP reads them; scripts/fixtures/clip_preprocessing.py wrote what Pillow makes of them.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { decodeBuffer } from '../../../src/data/decode.ts';

const cases = JSON.parse(
  readFileSync(new URL('./fixtures/clip-preprocessing.json', import.meta.url), 'utf8'),
) as { png: string; pixels: string }[];

for (const [i, { png, pixels }] of cases.entries()) {
  test(`CLIP preprocessing equals the published one within 2 levels, and DALL·E's does not: image ${i + 1}`, async () => {
    const wanted = Buffer.from(pixels, 'base64');
    const differences = async (preprocessing: 'clip' | 'dall-e'): Promise<number[]> => {
      const options = { size: 16, crop: 'center', preprocessing } as const;
      const { pixels } = await decodeBuffer(Buffer.from(png, 'base64'), options);
      return Array.from(pixels, (level, at) => Math.abs(level - wanted[at]!));
    };
    assert.ok(Math.max(...(await differences('clip'))) <= 2);
    assert.ok(Math.max(...(await differences('dall-e'))) > 2);
  });
}
