// The tokens of prompts.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EncodedPrompts } from '../../../src/api/prompts.ts';

const TEXT_LENGTH = 4;

/** A pipeline that reads `TEXT_LENGTH` words, and counts how often it encodes each prompt. */
function countingPipeline() {
  const calls = new Map<string, number>();
  const words = (prompt: string): number[] => {
    calls.set(prompt, (calls.get(prompt) ?? 0) + 1);
    return prompt.split(' ').map((word) => word.length);
  };
  return {
    calls,
    encode: (prompt: string, { truncate = false } = {}) => {
      const tokens = words(prompt);
      const isTruncated = tokens.length > TEXT_LENGTH;
      if (isTruncated && !truncate) throw new Error('too long');
      return { tokens: tokens.slice(0, TEXT_LENGTH), isTruncated, unread: '' };
    },
  };
}

test('a prompt is encoded once, however often it is added and read', () => {
  const pipeline = countingPipeline();
  const prompts = new EncodedPrompts(pipeline);
  for (const truncate of [true, false]) prompts.add('a red circle', truncate);
  prompts.add('one that fills it', false);
  for (let i = 0; i < 3; i++) {
    assert.deepEqual(prompts.tokens('a red circle'), [1, 3, 6]);
    assert.equal(prompts.isTruncated('a red circle'), false);
    assert.equal(prompts.isTruncated('one that fills it'), false);
  }
  assert.deepEqual([...pipeline.calls.values()], [1, 1]);
});

test('a prompt longer than the model reads is truncated, one that just fits is not', () => {
  const prompts = new EncodedPrompts(countingPipeline());
  prompts.add('one that fits it', true);
  prompts.add('one that does not fit it', true);
  assert.equal(prompts.isTruncated('one that fits it'), false);
  assert.equal(prompts.isTruncated('one that does not fit it'), true);
  assert.deepEqual(prompts.tokens('one that does not fit it'), [3, 4, 4, 3]);
});

test('a prompt that the pipeline refuses is not there', () => {
  const prompts = new EncodedPrompts(countingPipeline());
  assert.throws(() => prompts.add('one that does not fit it', false), /too long/);
  assert.throws(() => prompts.tokens('one that does not fit it'));
});
