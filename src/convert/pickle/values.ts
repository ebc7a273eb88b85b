// The values of a pickle, as plain data: a class is a name, and an object is the name of its class with its arguments
// and its state. No code of the file runs.

/** A value of a file format that embeds pickles: a tensor or a storage. */
export abstract class External {
  abstract readonly kind: string;
}

/** An object of a class that is read as data. */
export class PickleObject {
  /** `module.Class`. */
  readonly className: string;
  readonly args: readonly PickleValue[];
  /** Set by BUILD; usually a map of attributes. */
  state: PickleValue = null;
  /** Of a class that is a list or a dictionary too. */
  readonly items: PickleValue[] = [];
  readonly entries: PickleMap = new Map();

  constructor(className: string, args: readonly PickleValue[]) {
    this.className = className;
    this.args = args;
  }

  /** An attribute by name; undefined when there is none. */
  get(attribute: string): PickleValue | undefined {
    return this.state instanceof Map ? this.state.get(attribute) : undefined;
  }
}

/** A class or a function that a pickle names; `make` returns the value of a call. */
export class PickleGlobal {
  readonly name: string;
  readonly make: (args: readonly PickleValue[]) => PickleValue;

  constructor(name: string, make: (args: readonly PickleValue[]) => PickleValue) {
    this.name = name;
    this.make = make;
  }
}

export type PickleMap = Map<PickleValue, PickleValue>;

/** Lists and tuples are arrays, dictionaries are maps, and integers from 2⁵³ are bigints. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleValue[]
  | PickleMap
  | Set<PickleValue>
  | PickleObject
  | PickleGlobal
  | External;

/** The kind of a value, for messages. */
export function nameOfKind(value: PickleValue | undefined): string {
  if (value === undefined || value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (value instanceof Map) return 'a dictionary';
  if (value instanceof Set) return 'a set';
  if (value instanceof Uint8Array) return 'bytes';
  if (value instanceof PickleObject) return `a ${value.className}`;
  if (value instanceof PickleGlobal) return `the class ${value.name}`;
  if (value instanceof External) return value.kind;
  return typeof value === 'string' ? 'text' : `the ${typeof value} ${value}`;
}
