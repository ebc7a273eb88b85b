import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { configReference } from '../../../src/config/reference.ts';

test('docs/CONFIG.md is what the schemas say', () => {
  const written = readFileSync(new URL('../../../docs/CONFIG.md', import.meta.url), 'utf8');
  assert.equal(written, configReference(), 'run node --import tsx scripts/config-docs.ts');
});

test('every key has a description', () => {
  const undescribed = configReference()
    .split('\n')
    .filter((line) => line.startsWith('| `') && line.endsWith('|  |'));
  assert.deepEqual(undescribed, []);
});
