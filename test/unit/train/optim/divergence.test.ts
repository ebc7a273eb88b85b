import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { divergence } from '../../../../src/train/optim/divergence.ts';

test('a run that diverges is told to resume from its checkpoint only when there is one', () => {
  const run = mkdtempSync(join(tmpdir(), 'mm-divergence-'));
  try {
    assert.match(divergence('loss is', 3, run).fix as string, /^there is no checkpoint yet: start again/);
    mkdirSync(join(run, 'checkpoints', '.step-5.1.tmp'), { recursive: true });
    assert.match(divergence('loss is', 3, run).fix as string, /no checkpoint yet/);
    mkdirSync(join(run, 'checkpoints', 'step-5'));
    assert.match(divergence('loss is', 6, run).fix as string, /^the last checkpoint is good: resume from it/);
  } finally {
    rmSync(run, { recursive: true });
  }
});
