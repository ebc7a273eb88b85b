import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { psnr, ssim } from '../../../../src/inference/measures/reconstruction.ts';
import { RandomStream } from '../../../../src/util/random.ts';

interface Fixture {
  readonly size: number;
  readonly pixels: string;
  readonly others: Record<string, { readonly pixels: string; readonly psnr: number; readonly ssim: number }>;
}

const fixture = JSON.parse(readFileSync(new URL('./fixtures/ssim.json', import.meta.url), 'utf8')) as Fixture;
const decode = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'base64'));
const image = decode(fixture.pixels);
const { size } = fixture;

const noise = (side: number, seed: number): Uint8Array => {
  const random = new RandomStream('noise', seed);
  return Uint8Array.from({ length: side * side * 3 }, () => random.integer(256));
};

describe('PSNR and SSIM equal those of scikit-image', () => {
  for (const [name, other] of Object.entries(fixture.others)) {
    test(name, () => {
      const pixels = decode(other.pixels);
      assert.ok(Math.abs(psnr(image, pixels) - other.psnr) < 1e-9, `PSNR ${psnr(image, pixels)}`);
      assert.ok(Math.abs(ssim(image, pixels, size) - other.ssim) < 1e-9, `${ssim(image, pixels, size)}`);
    });
  }
});

describe('PSNR', () => {
  test('is the ratio in dB of the largest value to the error', () => {
    const black = new Uint8Array(12);
    assert.equal(
      psnr(
        black,
        black.map(() => 255),
      ),
      0,
    );
    assert.ok(
      Math.abs(
        psnr(
          black,
          Uint8Array.from({ length: 12 }, (_, i) => (i === 0 ? 255 : 0)),
        ) -
          10 * Math.log10(12),
      ) < 1e-12,
    );
    assert.equal(psnr(image, image), Number.POSITIVE_INFINITY);
  });
});

describe('SSIM', () => {
  test('is 1 for equal images, symmetric, and near 0 for unrelated ones', () => {
    assert.ok(Math.abs(ssim(image, image, size) - 1) < 1e-12);
    const [a, b] = [noise(40, 1), noise(40, 2)];
    assert.equal(ssim(a, b, 40), ssim(b, a, 40));
    assert.ok(Math.abs(ssim(a, b, 40)) < 0.05);
  });

  test('is defined for images smaller than the window', () => {
    for (const side of [2, 3, 8, 10]) {
      const a = noise(side, 1);
      assert.ok(Math.abs(ssim(a, a, side) - 1) < 1e-12);
      assert.ok(ssim(a, noise(side, 2), side) < 0.9);
    }
  });
});
