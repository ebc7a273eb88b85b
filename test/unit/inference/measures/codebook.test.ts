import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  COLLAPSE_ADVICE,
  codebookUse,
  describeCollapse,
} from '../../../../src/inference/measures/codebook.ts';
import { softHardGap } from '../../../../src/inference/measures/reconstruction.ts';
import { RandomStream } from '../../../../src/util/random.ts';

test('codebook use has the used codes, the dead codes and the perplexity', () => {
  const { used, dead, perplexity, positions } = codebookUse([[0, 0, 3], Int32Array.of(3, 3, 5)], 8);
  assert.deepEqual([used, dead, positions], [3, 5, 6]);
  const entropy = -(2 / 6) * Math.log(2 / 6) - (3 / 6) * Math.log(3 / 6) - (1 / 6) * Math.log(1 / 6);
  assert.ok(Math.abs(perplexity - Math.exp(entropy)) < 1e-12);
});

describe('the warning of a collapse', () => {
  const drawn = (count: number, from: number) => {
    const random = new RandomStream('codes', count, from);
    return codebookUse([Int32Array.from({ length: count }, () => random.integer(from))], 8192);
  };

  test('names its numbers below the share, and is absent above', () => {
    const said = describeCollapse(drawn(20_000, 300), 8192, 0.1);
    assert.match(
      said!,
      /collapsing: 300 of 8192 codes are in use, and their perplexity of 29\d\.\d is 4\.\d % /,
    );
    assert.match(said!, /below 10 %$/);
    assert.equal(describeCollapse(drawn(20_000, 300), 8192, 0.03), undefined);
    assert.equal(describeCollapse(drawn(20_000, 8192), 8192, 0.5), undefined);
    assert.equal(describeCollapse(drawn(20_000, 1), 8192, 0), undefined);
  });

  test('is absent for few images of a healthy codebook', () => {
    // 256 positions cannot show more than 256 of 8192 codes: 3 %.
    assert.equal(describeCollapse(drawn(256, 8192), 8192, 0.5), undefined);
    assert.ok(describeCollapse(drawn(256, 2), 8192, 0.1));
  });

  test('comes with advice that names configuration keys', () => {
    for (const key of ['train.warmStart', 'train.codebook.revive', 'train.kl.weight'])
      assert.ok(COLLAPSE_ADVICE.includes(key), key);
  });
});

test('the soft-hard gap is the loss of hard codes in dB', () => {
  assert.ok(Math.abs(softHardGap(0.001, 0.01) - 10) < 1e-9);
  assert.ok(softHardGap(0.02, 0.01) < 0);
});
