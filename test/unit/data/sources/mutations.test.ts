// A thousand damaged data sets (test/support/mutations.ts); scripts/check/mutations.ts makes more of them.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryFolder } from '../../../support/images.ts';
import { mutationSeeds } from '../../../support/mutation-seeds.ts';
import { mutate } from '../../../support/mutations.ts';

test('1,000 damaged data sets are read with counted faults, or end in one clear error', async () => {
  const root = await temporaryFolder();
  process.env.MM_CACHE = join(root, 'cache');
  const seeds = await mutationSeeds();
  const errors = new Set<string>();
  let [read, faulty] = [0, 0];
  for (let seed = 0; seed < 1000; seed++) {
    const { error, images, faults } = await mutate(seed, join(root, 'data'), seeds);
    if (error !== undefined) errors.add(error);
    if (images > 0) read++;
    if (faults > 0) faulty++;
    assert.ok(error !== undefined || images > 0 || faults > 0, `seed ${seed} is nothing at all`);
  }
  // The mutations reach what they are meant to reach.
  assert.ok(read > 200 && faulty > 200, `${read} read, ${faulty} with faults`);
  for (const code of ['E_ARCHIVE_DAMAGED', 'E_PARQUET_DAMAGED', 'E_NO_IMAGES', 'E_NOT_JSON'])
    assert.ok(errors.has(code), code);
});
