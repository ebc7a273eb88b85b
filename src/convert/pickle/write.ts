// Writes Python pickles of protocol 2: plain data, and references to what stands outside of the pickle. Nothing is
// memoized, so that equal values are written each time. The operations are those of operations.ts.

/** A class or a function by its name. */
export class PickledName {
  readonly module: string;
  readonly name: string;

  constructor(module: string, name: string) {
    this.module = module;
    this.name = name;
  }
}

/** `callee(*args)`; with `entries`, a dictionary that gets them afterwards. */
export class PickledCall {
  readonly callee: PickledName;
  readonly args: readonly Picklable[];
  readonly entries: ReadonlyMap<string, Picklable>;

  constructor(
    callee: PickledName,
    args: readonly Picklable[],
    entries: ReadonlyMap<string, Picklable> = new Map(),
  ) {
    this.callee = callee;
    this.args = args;
    this.entries = entries;
  }
}

/** A tuple; an array is a list. */
export class PickledTuple {
  readonly items: readonly Picklable[];

  constructor(...items: readonly Picklable[]) {
    this.items = items;
  }
}

/** A reference to what stands outside of the pickle, by a value that its reader knows. */
export class PickledReference {
  readonly id: Picklable;

  constructor(id: Picklable) {
    this.id = id;
  }
}

/** Integers are written as such, other numbers as floats. */
export type Picklable =
  | null
  | boolean
  | number
  | string
  | readonly Picklable[]
  | ReadonlyMap<string, Picklable>
  | PickledName
  | PickledCall
  | PickledTuple
  | PickledReference;

const OP = {
  protocol: 0x80,
  stop: 0x2e,
  none: 0x4e,
  true: 0x88,
  false: 0x89,
  int8: 0x4b,
  int32: 0x4a,
  long: 0x8a,
  float: 0x47,
  text: 0x58,
  mark: 0x28,
  tuple: 0x74,
  emptyList: 0x5d,
  appends: 0x65,
  emptyDict: 0x7d,
  setItems: 0x75,
  global: 0x63,
  call: 0x52,
  reference: 0x51,
} as const;
const PROTOCOL = 2;
const INT32 = 2 ** 31;

/** The bytes of the pickle of a value. */
export function writePickle(value: Picklable): Buffer {
  const parts: Uint8Array[] = [Buffer.of(OP.protocol, PROTOCOL)];
  const op = (...bytes: number[]): void => void parts.push(Buffer.from(bytes));
  const sized = (code: number, length: number, write: (bytes: Buffer) => void): void => {
    const bytes = Buffer.alloc(1 + length);
    bytes[0] = code;
    write(bytes);
    parts.push(bytes);
  };
  const number = (x: number): void => {
    if (!Number.isInteger(x)) sized(OP.float, 8, (bytes) => bytes.writeDoubleBE(x, 1));
    else if (x >= 0 && x < 256) op(OP.int8, x);
    else if (x >= -INT32 && x < INT32) sized(OP.int32, 4, (bytes) => bytes.writeInt32LE(x, 1));
    else {
      op(OP.long, 8);
      const bytes = Buffer.alloc(8);
      bytes.writeBigInt64LE(BigInt(x));
      parts.push(bytes);
    }
  };
  const text = (x: string): void => {
    const bytes = Buffer.from(x, 'utf8');
    sized(OP.text, 4, (head) => head.writeUInt32LE(bytes.length, 1));
    parts.push(bytes);
  };
  const tuple = (items: readonly Picklable[]): void => {
    op(OP.mark);
    for (const item of items) visit(item);
    op(OP.tuple);
  };
  const setItems = (entries: ReadonlyMap<string, Picklable>): void => {
    if (entries.size === 0) return;
    op(OP.mark);
    for (const [key, item] of entries) {
      text(key);
      visit(item);
    }
    op(OP.setItems);
  };
  const name = (x: PickledName): void => {
    op(OP.global);
    parts.push(Buffer.from(`${x.module}\n${x.name}\n`));
  };
  const visit = (x: Picklable): void => {
    if (x === null) op(OP.none);
    else if (typeof x === 'boolean') op(x ? OP.true : OP.false);
    else if (typeof x === 'number') number(x);
    else if (typeof x === 'string') text(x);
    else if (x instanceof PickledName) name(x);
    else if (x instanceof PickledTuple) tuple(x.items);
    else if (x instanceof PickledReference) {
      visit(x.id);
      op(OP.reference);
    } else if (x instanceof PickledCall) {
      name(x.callee);
      tuple(x.args);
      op(OP.call);
      setItems(x.entries);
    } else if (x instanceof Map) {
      op(OP.emptyDict);
      setItems(x);
    } else {
      op(OP.emptyList, OP.mark);
      for (const item of x as readonly Picklable[]) visit(item);
      op(OP.appends);
    }
  };
  visit(value);
  op(OP.stop);
  return Buffer.concat(parts);
}
