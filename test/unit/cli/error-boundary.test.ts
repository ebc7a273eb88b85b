// Errors in the words of the command line.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type FlagNames, reportOf } from '../../../src/cli/error-boundary.ts';
import { DataError, UsageError } from '../../../src/util/errors.ts';

const SAMPLE: FlagNames = {
  known: new Set(['best-of', 'guidance', 'keep-rows', 'prompt', 'set', 'json']),
  special: { 'prime.rows': 'keep-rows', prompts: 'prompt' },
};

test('the option becomes the flag of the running command, also by a special name', () => {
  for (const [option, flag] of [
    ['guidance', '--guidance'],
    ['bestOf', '--best-of'],
    ['prime.rows', '--keep-rows'],
    ['prompts', '--prompt'],
  ] as const)
    assert.equal(reportOf(new UsageError('x', { option, code: 'E_X' }), SAMPLE).option, flag);
});

test('an option that the command has not keeps its key', () => {
  assert.equal(reportOf(new UsageError('x', { option: 'shardSize' }), SAMPLE).option, 'shardSize');
  assert.equal(reportOf(new UsageError('x', { option: 'guidance' })).option, 'guidance');
});

test('option keys in backticks become flags in message and fix; other code stays', () => {
  const error = new UsageError(
    '`guidance` 3 needs `train.nullCaptions`, not `bestOf` of `prime.rows` or `x`',
    {
      code: 'E_GUIDANCE_UNTRAINED',
      fix: 'leave `guidance` out; `mm sample` and `--guidance` and guidance stay',
    },
  );
  assert.deepEqual(reportOf(error, SAMPLE), {
    code: 'E_GUIDANCE_UNTRAINED',
    message: '--guidance 3 needs `train.nullCaptions`, not --best-of of --keep-rows or `x`',
    fix: 'leave --guidance out; `mm sample` and `--guidance` and guidance stay',
    exitCode: 2,
  });
});

test('the place of a file is kept beside the option', () => {
  const { option, where, exitCode } = reportOf(
    new DataError('x', { option: 'prompts', where: 'a.txt' }),
    SAMPLE,
  );
  assert.deepEqual([option, where, exitCode], ['--prompt', 'a.txt', 3]);
});
