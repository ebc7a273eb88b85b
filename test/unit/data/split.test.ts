import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashFraction, isValidation } from '../../../src/data/split.ts';

const keys = Array.from({ length: 20_000 }, (_, i) => `folder/image-${i}.png`);

test('the share of validation examples is close to the given one', () => {
  for (const share of [0.05, 0.3]) {
    const found = keys.filter((key) => isValidation(key, share)).length / keys.length;
    assert.ok(Math.abs(found - share) < 0.01, `${found} for ${share}`);
  }
});

test('no example is held out for a share of 0, and a larger share only adds examples', () => {
  assert.equal(
    keys.some((key) => isValidation(key, 0)),
    false,
  );
  assert.ok(keys.every((key) => !isValidation(key, 0.05) || isValidation(key, 0.1)));
});

test('the hash is the first 32 bits of SHA-256', () => {
  // printf abc | sha256sum → ba7816bf…
  assert.equal(hashFraction('abc'), 0xba7816bf / 2 ** 32);
});
