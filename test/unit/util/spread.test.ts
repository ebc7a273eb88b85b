// Items spread over several models.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { spread } from '../../../src/util/spread.ts';

test('every model takes part, with one item at a time, and results come in the order of the items', async () => {
  const models = ['a', 'b', 'c'].map((name) => ({ name, busy: false, items: 0 }));
  const items = Array.from({ length: 20 }, (_, i) => i);
  const results = spread(models as never, items, async (model: (typeof models)[0], item: number) => {
    assert.ok(!model.busy, `${model.name} has an item already`);
    model.busy = true;
    await setTimeout((7 * item) % 5);
    model.busy = false;
    model.items++;
    return item ** 2;
  });
  const found: number[] = [];
  for await (const result of results) found.push(result);
  assert.deepEqual(
    found,
    items.map((item) => item ** 2),
  );
  for (const { name, items } of models) assert.ok(items > 0, `${name} has nothing to do`);
});
