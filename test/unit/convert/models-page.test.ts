import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import yargs from 'yargs';
import { OPENS } from '../../../scripts/models-claims.ts';
import { modelsPage } from '../../../scripts/models-page.ts';
import { command } from '../../../src/cli/commands/convert.ts';
import { flagNames } from '../../../src/cli/given-flags.ts';

test('docs/MODELS.md is what the converters say', () => {
  const written = readFileSync(new URL('../../../docs/MODELS.md', import.meta.url), 'utf8');
  assert.equal(written, modelsPage(), 'run node --import tsx scripts/models-docs.ts');
});

test('the flags of its commands exist', () => {
  const known = flagNames(command.flags(yargs([])));
  const used = OPENS.flatMap(({ command: line }) =>
    [...line.matchAll(/--([a-z-]+)/g)].map(([, flag]) => flag as string),
  );
  assert.ok(used.length > 3);
  assert.deepEqual(
    used.filter((flag) => !known.has(flag)),
    [],
  );
});
