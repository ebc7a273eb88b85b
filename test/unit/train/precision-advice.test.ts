import assert from 'node:assert/strict';
import { test } from 'node:test';
import { precisionAdvice } from '../../../src/train/precision-advice.ts';

test('float32 is advised where 16 bits take longer, beyond the noise', () => {
  assert.match(precisionAdvice('bfloat16', 21, 10) ?? '', /in bfloat16 take 2\.1 times as long .* float32/);
  assert.match(precisionAdvice('float16', 13, 10) ?? '', /1\.3 times/);
  for (const own of [1, 7, 10, 10.9]) assert.equal(precisionAdvice('bfloat16', own, 10), undefined);
});
