// The operations of pickles, protocols 2 to 5, by code. Operations that only protocols 0 and 1 use are left out.
// Source: https://github.com/python/cpython/blob/main/Lib/pickletools.py.

import type { Cursor } from './cursor.ts';
import { PickleFault } from './fault.ts';
import { pairs, type Stack } from './stack.ts';
import type { PickleGlobal, PickleValue } from './values.ts';

export interface PickleHost {
  /** The class or function of a name. Throws PickleFault for an unknown one. */
  resolve(module: string, name: string): PickleGlobal;
  /** The value of a reference to outside of the pickle: a storage of torch. */
  persistent(id: PickleValue): PickleValue;
}

type Operation = (stack: Stack, cursor: Cursor, host: PickleHost) => void;

const NEWEST_PROTOCOL = 5;
/** Integers of weights and settings are shorter. */
const MAX_INTEGER_BYTES = 256;

/** Modules of Python 2, whose names protocol 2 uses, and their names in Python 3. */
const RENAMED: ReadonlyMap<string, string> = new Map([
  ['__builtin__', 'builtins'],
  ['copy_reg', 'copyreg'],
]);

function checkProtocol(protocol: number): void {
  if (protocol > NEWEST_PROTOCOL) throw new PickleFault(`its protocol is ${protocol}, not 2 to 5`);
}

function integer(cursor: Cursor, bytes: number): number | bigint {
  if (bytes > MAX_INTEGER_BYTES) throw new PickleFault(`it has an integer of ${bytes} bytes`);
  return cursor.integer(bytes);
}

const resolve = (host: PickleHost, module: string, name: string): PickleGlobal =>
  host.resolve(RENAMED.get(module) ?? module, name);

function resolveFromStack(stack: Stack, host: PickleHost): PickleGlobal {
  const [module, name] = stack.popMany(2);
  if (typeof module === 'string' && typeof name === 'string') return resolve(host, module, name);
  throw new PickleFault('the name of a class is not text');
}

/** Ends the pickle; its value is on top of the stack. */
export const STOP = 0x2e;

/** Names as in pickletools. */
export const OPERATIONS: ReadonlyMap<number, readonly [name: string, run: Operation]> = new Map([
  [0x80, ['PROTO', (_, cursor) => checkProtocol(cursor.uint8())]],
  [0x95, ['FRAME', (_, cursor) => void cursor.uint64()]],
  [0x28, ['MARK', (stack) => stack.mark()]],
  [0x30, ['POP', (stack) => stack.drop()]],
  [0x31, ['POP_MARK', (stack) => void stack.popMark()]],
  [0x32, ['DUP', (stack) => stack.push(stack.top())]],

  [0x4e, ['NONE', (stack) => stack.push(null)]],
  [0x88, ['NEWTRUE', (stack) => stack.push(true)]],
  [0x89, ['NEWFALSE', (stack) => stack.push(false)]],
  [0x4a, ['BININT', (stack, cursor) => stack.push(cursor.int32())]],
  [0x4b, ['BININT1', (stack, cursor) => stack.push(cursor.uint8())]],
  [0x4d, ['BININT2', (stack, cursor) => stack.push(cursor.uint16())]],
  [0x8a, ['LONG1', (stack, cursor) => stack.push(integer(cursor, cursor.uint8()))]],
  [0x8b, ['LONG4', (stack, cursor) => stack.push(integer(cursor, cursor.uint32()))]],
  [0x47, ['BINFLOAT', (stack, cursor) => stack.push(cursor.float64BigEndian())]],

  [0x8c, ['SHORT_BINUNICODE', (stack, cursor) => stack.push(cursor.text(cursor.uint8()))]],
  [0x58, ['BINUNICODE', (stack, cursor) => stack.push(cursor.text(cursor.uint32()))]],
  [0x8d, ['BINUNICODE8', (stack, cursor) => stack.push(cursor.text(cursor.uint64()))]],
  [0x55, ['SHORT_BINSTRING', (stack, cursor) => stack.push(cursor.text(cursor.uint8(), 'latin1'))]],
  [0x54, ['BINSTRING', (stack, cursor) => stack.push(cursor.text(cursor.uint32(), 'latin1'))]],
  [0x43, ['SHORT_BINBYTES', (stack, cursor) => stack.push(cursor.take(cursor.uint8()))]],
  [0x42, ['BINBYTES', (stack, cursor) => stack.push(cursor.take(cursor.uint32()))]],
  [0x8e, ['BINBYTES8', (stack, cursor) => stack.push(cursor.take(cursor.uint64()))]],
  [0x96, ['BYTEARRAY8', (stack, cursor) => stack.push(cursor.take(cursor.uint64()))]],

  [0x29, ['EMPTY_TUPLE', (stack) => stack.push([])]],
  [0x85, ['TUPLE1', (stack) => stack.push(stack.popMany(1))]],
  [0x86, ['TUPLE2', (stack) => stack.push(stack.popMany(2))]],
  [0x87, ['TUPLE3', (stack) => stack.push(stack.popMany(3))]],
  [0x74, ['TUPLE', (stack) => stack.push(stack.popMark())]],
  [0x5d, ['EMPTY_LIST', (stack) => stack.push([])]],
  [0x6c, ['LIST', (stack) => stack.push(stack.popMark())]],
  [0x61, ['APPEND', (stack) => stack.append([stack.pop()])]],
  [0x65, ['APPENDS', (stack) => stack.append(stack.popMark())]],
  [0x7d, ['EMPTY_DICT', (stack) => stack.push(new Map())]],
  [0x64, ['DICT', (stack) => stack.push(new Map(pairs(stack.popMark())))]],
  [0x73, ['SETITEM', (stack) => stack.setItems(stack.popMany(2))]],
  [0x75, ['SETITEMS', (stack) => stack.setItems(stack.popMark())]],
  [0x8f, ['EMPTY_SET', (stack) => stack.push(new Set())]],
  [0x90, ['ADDITEMS', (stack) => stack.addItems(stack.popMark())]],
  [0x91, ['FROZENSET', (stack) => stack.push(new Set(stack.popMark()))]],

  [0x71, ['BINPUT', (stack, cursor) => stack.memoize(cursor.uint8())]],
  [0x72, ['LONG_BINPUT', (stack, cursor) => stack.memoize(cursor.uint32())]],
  [0x94, ['MEMOIZE', (stack) => stack.memoize()]],
  [0x68, ['BINGET', (stack, cursor) => stack.recall(cursor.uint8())]],
  [0x6a, ['LONG_BINGET', (stack, cursor) => stack.recall(cursor.uint32())]],

  [0x63, ['GLOBAL', (stack, cursor, host) => stack.push(resolve(host, cursor.line(), cursor.line()))]],
  [0x93, ['STACK_GLOBAL', (stack, _, host) => stack.push(resolveFromStack(stack, host))]],
  [0x51, ['BINPERSID', (stack, _, host) => stack.push(host.persistent(stack.pop()))]],
  [0x52, ['REDUCE', (stack) => stack.call()]],
  [0x81, ['NEWOBJ', (stack) => stack.call()]],
  [0x92, ['NEWOBJ_EX', (stack) => stack.callWithKeywords()]],
  [0x62, ['BUILD', (stack) => stack.setState()]],
] satisfies [number, [string, Operation]][]);
