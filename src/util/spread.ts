// Work spread over several models of one kind, such as one on each device.

import { prefetch } from './prefetch.ts';

/**
 * Yields `work(model, item)` for each item, in order. A model has one item at a time, and as many items are taken ahead
 * as there are other models. Failures and early ends are those of `prefetch`.
 */
export function spread<Model, Item, Result>(
  models: readonly [Model, ...Model[]],
  items: Iterable<Item> | AsyncIterable<Item>,
  work: (model: Model, item: Item) => Promise<Result>,
): AsyncGenerator<Result, void> {
  const idle: Model[] = [...models];
  return prefetch(items, models.length, async (item) => {
    const model = idle.pop() as Model;
    try {
      return await work(model, item);
    } finally {
      idle.push(model);
    }
  });
}
