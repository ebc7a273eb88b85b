// The memory of the stack machine: a stack divided by marks, and a memo of stored values.

import { PickleFault } from './fault.ts';
import { nameOfKind, PickleGlobal, PickleObject, type PickleValue } from './values.ts';

export class Stack {
  #values: PickleValue[] = [];
  /** The values below each mark. */
  readonly #below: PickleValue[][] = [];
  readonly #memo = new Map<number, PickleValue>();

  push(value: PickleValue): void {
    this.#values.push(value);
  }

  top(): PickleValue {
    const value = this.#values.at(-1);
    if (value === undefined) throw new PickleFault('an operation takes a value from an empty stack');
    return value;
  }

  pop(): PickleValue {
    const value = this.top();
    this.#values.pop();
    return value;
  }

  popMany(count: number): PickleValue[] {
    if (this.#values.length < count) throw new PickleFault('an operation takes a value from an empty stack');
    return this.#values.splice(-count);
  }

  mark(): void {
    this.#below.push(this.#values);
    this.#values = [];
  }

  /** Removes the last mark and the values above it, and returns the values. */
  popMark(): PickleValue[] {
    const below = this.#below.pop();
    if (below === undefined) throw new PickleFault('an operation needs a mark, and there is none');
    const values = this.#values;
    this.#values = below;
    return values;
  }

  /** Removes the value on top, or the mark. */
  drop(): void {
    if (this.#values.length === 0) this.popMark();
    else this.pop();
  }

  memoize(index = this.#memo.size): void {
    this.#memo.set(index, this.top());
  }

  recall(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) throw new PickleFault(`it recalls value ${index}, which was not stored`);
    this.push(value);
  }

  append(items: readonly PickleValue[]): void {
    const top = this.top();
    const list = top instanceof PickleObject ? top.items : top;
    if (!Array.isArray(list)) throw new PickleFault(`it appends to ${nameOfKind(list)}`);
    for (const item of items) list.push(item);
  }

  setItems(items: readonly PickleValue[]): void {
    const top = this.top();
    const map = top instanceof PickleObject ? top.entries : top;
    if (!(map instanceof Map)) throw new PickleFault(`it sets items of ${nameOfKind(map)}`);
    for (const [key, value] of pairs(items)) map.set(key, value);
  }

  addItems(items: readonly PickleValue[]): void {
    const set = this.top();
    if (set instanceof PickleObject) return void set.items.push(...items);
    if (!(set instanceof Set)) throw new PickleFault(`it adds items to ${nameOfKind(set)}`);
    for (const item of items) set.add(item);
  }

  /** Replaces `callee` and `args` by the value of `callee(*args)`, which nothing computes: a call of data is data. */
  call(): void {
    const [callee, args] = this.popMany(2);
    const isData = callee instanceof PickleObject;
    if (!isData && !(callee instanceof PickleGlobal)) throw new PickleFault(`it calls ${nameOfKind(callee)}`);
    if (!Array.isArray(args))
      throw new PickleFault(`it calls ${nameOfKind(callee)} with ${nameOfKind(args)}`);
    this.push(isData ? new PickleObject(`${callee.className}()`, args) : callee.make(args));
  }

  /** `call` with keyword arguments above the others, which data does without. */
  callWithKeywords(): void {
    this.pop();
    this.call();
  }

  /**
   * Sets the state of the object on top. Attributes of dictionaries and tensors are ignored: weights do not need them.
   */
  setState(): void {
    const state = this.pop();
    const object = this.top();
    if (object instanceof PickleObject) object.state = attributes(state);
  }
}

export function pairs(items: readonly PickleValue[]): [PickleValue, PickleValue][] {
  if (items.length % 2 !== 0) throw new PickleFault('a dictionary has a key without a value');
  return Array.from({ length: items.length / 2 }, (_, i) => [
    items[2 * i] as PickleValue,
    items[2 * i + 1] as PickleValue,
  ]);
}

/** Merges a state of the form (attributes, slots). */
function attributes(state: PickleValue): PickleValue {
  if (!Array.isArray(state) || state.length !== 2) return state;
  return new Map(state.flatMap((part) => (part instanceof Map ? [...part] : [])));
}
