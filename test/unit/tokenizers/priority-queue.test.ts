import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PriorityQueue } from '../../../src/tokenizers/priority-queue.ts';
import { RandomStream } from '../../../src/util/random.ts';

test('items are popped in order, with pushes and pops mixed', () => {
  const random = new RandomStream('heap');
  const heap = new PriorityQueue<number>((a, b) => a < b);
  const items: number[] = [];
  for (let i = 0; i < 5000; i++) {
    if (random.uniform() < 0.6) {
      const item = random.integer(100);
      heap.push(item);
      items.push(item);
    } else {
      items.sort((a, b) => a - b);
      assert.equal(heap.pop(), items.shift());
    }
  }
  for (const item of items.sort((a, b) => a - b)) assert.equal(heap.pop(), item);
  assert.equal(heap.pop(), undefined);
});
