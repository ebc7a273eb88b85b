// What a pickle may hold, as plain data. Nothing here runs code of the file: a class is a name, an object is the
// name of its class with the arguments and the state that were stored for it.

/** A value that the reader of a file format makes: a tensor, a storage. */
export abstract class External {
  abstract readonly kind: string;
}

/** An instance of one of the classes that are kept as data. */
export class PickleObject {
  /** `module.Class`. */
  readonly className: string;
  readonly args: readonly PickleValue[];
  /** What BUILD gave it, usually a map of its attributes. */
  state: PickleValue = null;

  constructor(className: string, args: readonly PickleValue[]) {
    this.className = className;
    this.args = args;
  }

  /** An attribute by name; undefined when it has none such. */
  get(attribute: string): PickleValue | undefined {
    return this.state instanceof Map ? this.state.get(attribute) : undefined;
  }
}

/** A class or a function that a pickle names; `make` says what calling it gives. */
export class PickleGlobal {
  readonly name: string;
  readonly make: (args: readonly PickleValue[]) => PickleValue;

  constructor(name: string, make: (args: readonly PickleValue[]) => PickleValue) {
    this.name = name;
    this.make = make;
  }
}

export type PickleMap = Map<PickleValue, PickleValue>;

/** Lists and tuples are arrays, dictionaries are maps, integers past 2⁵³ are bigints. */
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

/** What a value is, for messages. */
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
