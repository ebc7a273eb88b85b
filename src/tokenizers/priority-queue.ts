// A priority queue: a binary heap in an array.

export class PriorityQueue<T> {
  readonly #items: T[] = [];
  readonly #before: (a: T, b: T) => boolean;

  /** @param before whether `a` is popped before `b` */
  constructor(before: (a: T, b: T) => boolean) {
    this.#before = before;
  }

  push(item: T): void {
    const items = this.#items;
    let slot = items.length;
    items.push(item);
    while (slot > 0) {
      const parent = (slot - 1) >> 1;
      if (!this.#before(item, items[parent] as T)) break;
      items[slot] = items[parent] as T;
      slot = parent;
    }
    items[slot] = item;
  }

  /** Removes and returns the first item; undefined when the queue is empty. */
  pop(): T | undefined {
    const items = this.#items;
    const first = items[0];
    const last = items.pop();
    if (items.length === 0 || last === undefined) return first;
    let slot = 0;
    for (;;) {
      let child = 2 * slot + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && this.#before(items[child + 1] as T, items[child] as T)) child++;
      if (!this.#before(items[child] as T, last)) break;
      items[slot] = items[child] as T;
      slot = child;
    }
    items[slot] = last;
    return first;
  }
}
