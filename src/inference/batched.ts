// Items run through a compiled function in batches of a few sizes, so that it is traced a few times only.

type Values = Uint8Array | Int32Array | Float32Array;
type ArrayOf<T> = new (length: number) => T;

/** A run of `size` items, of which the first `count` are items from `start` on and the rest is padding. */
export interface Batch {
  readonly start: number;
  readonly count: number;
  readonly size: number;
}

export interface BatchedOptions<Out> {
  /** Number of items. */
  readonly count: number;
  /** Batch sizes, ascending: the last one is used until the rest fits in one run, which takes the smallest that holds it. */
  readonly sizes: readonly number[];
  /** Values of an item in the result. */
  readonly itemLength: number;
  readonly array: ArrayOf<Out>;
}

/**
 * The results of all items, one after the other.
 * @param run the results of a batch, of which those of the padding are ignored
 */
export async function runInBatches<Out extends Values>(
  { count: total, sizes, itemLength, array }: BatchedOptions<Out>,
  run: (batch: Batch) => Promise<Out>,
): Promise<Out> {
  const result = new array(total * itemLength);
  const max = sizes.at(-1) as number;
  for (let start = 0; start < total; start += max) {
    const count = Math.min(max, total - start);
    const size = sizes.find((each) => each >= count) as number;
    const values = await run({ start, count, size });
    result.set(values.subarray(0, count * itemLength), start * itemLength);
  }
  return result;
}

/** The items of a batch, padded with zeros. @param itemLength values of an item in `items` */
export function paddedBatch<In extends Values>(
  items: In,
  { start, count, size }: Batch,
  itemLength: number,
  array: ArrayOf<In>,
): In {
  const data = new array(size * itemLength);
  data.set(items.subarray(start * itemLength, (start + count) * itemLength));
  return data;
}
