// Bounded prefetch: results in order, the next ones computed while the consumer uses the current one.

import { setImmediate } from 'node:timers/promises';

/**
 * Yields `work(item)` for each item, in order. At most `depth` calls are in flight, the awaited one included, so
 * `depth` − 1 run while the consumer is busy; 1 prefetches nothing. A call begins in the next turn of the event loop:
 * a result that is there does not wait for it. A failure is thrown when its turn comes.
 * When the consumer stops early, the calls in flight are awaited first and their results dropped.
 */
export async function* prefetch<Item, Result>(
  items: Iterable<Item> | AsyncIterable<Item>,
  depth: number,
  work: (item: Item) => Promise<Result>,
): AsyncGenerator<Result, void> {
  const inFlight: Promise<Result>[] = [];
  try {
    for await (const item of items) {
      const result = setImmediate().then(() => work(item));
      result.catch(() => {}); // handled when its turn comes
      inFlight.push(result);
      if (inFlight.length >= depth) yield await (inFlight.shift() as Promise<Result>);
    }
    while (inFlight.length > 0) yield await (inFlight.shift() as Promise<Result>);
  } finally {
    await Promise.allSettled(inFlight);
  }
}
