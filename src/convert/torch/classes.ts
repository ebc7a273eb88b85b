// The classes and functions that a torch file may name, and their values here. Any other name is data: the name with its
// arguments and attributes.

import type { TensorType } from '../../checkpoint/dtype.ts';
import { PickleFault } from '../pickle/fault.ts';
import {
  nameOfKind,
  PickleGlobal,
  type PickleMap,
  PickleObject,
  type PickleValue,
} from '../pickle/values.ts';
import { isElementType, STORAGE_TYPES, TorchStorage } from './storage.ts';
import { TorchTensor } from './tensor.ts';
import { UnreadableTensor } from './unreadable.ts';

/**
 * Modules and functions of Python that run commands or code. Nothing runs here, and no weights need them: a file that
 * names one was made to attack its readers.
 */
const HOSTILE =
  /^(os|posix|nt|subprocess|sys|socket|shutil|pty|runpy|importlib|ctypes|webbrowser|pip)(\.|$)|^builtins\.(eval|exec|execfile|compile|open|input|breakpoint|apply|__import__)$|(?<!^copyreg)\.__(?!_)/;

const DTYPES: Readonly<Record<string, TensorType>> = {
  'torch.float32': 'float32',
  'torch.float64': 'float64',
  'torch.float16': 'float16',
  'torch.bfloat16': 'bfloat16',
  'torch.int64': 'int64',
  'torch.int32': 'int32',
  'torch.uint8': 'uint8',
  'torch.bool': 'bool',
};

type Make = (args: readonly PickleValue[]) => PickleValue;

function size(value: PickleValue | undefined, what: string): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new PickleFault(`a tensor's ${what} is ${nameOfKind(value)}`);
}

function sizes(value: PickleValue | undefined, what: string): number[] {
  if (!Array.isArray(value)) throw new PickleFault(`a tensor's ${what} is ${nameOfKind(value)}`);
  return value.map((item) => size(item, what));
}

/** _rebuild_tensor_v2(storage, offset, size, stride, …); version 3 adds the element type of an untyped storage. */
function rebuildTensor(args: readonly PickleValue[]): PickleValue {
  const [storage, offset, shape, strides, , , dtype] = args;
  if (!(storage instanceof TorchStorage)) {
    throw new PickleFault(`a tensor has ${nameOfKind(storage)} instead of a storage`);
  }
  const type = dtype instanceof PickleGlobal ? DTYPES[dtype.name] : storage.dtype;
  if (type === undefined) {
    if (!(dtype instanceof PickleGlobal)) throw new PickleFault(`a tensor's type is ${nameOfKind(dtype)}`);
    return new UnreadableTensor(dtype.name.replace('torch.', ''), sizes(shape, 'shape'));
  }
  if (!isElementType(type)) return new UnreadableTensor(type, sizes(shape, 'shape'));
  return new TorchTensor(
    storage,
    type,
    size(offset, 'offset'),
    sizes(shape, 'shape'),
    sizes(strides, 'strides'),
  );
}

const first: Make = ([value]) => value ?? null;

/** OrderedDict(pairs) and similar classes. */
function map([items]: readonly PickleValue[]): PickleMap {
  if (items instanceof Map) return new Map(items);
  if (!Array.isArray(items)) return new Map();
  return new Map(
    items.map((pair): [PickleValue, PickleValue] => {
      if (!Array.isArray(pair) || pair.length !== 2)
        throw new PickleFault('a dictionary has an item that is not a pair');
      return [pair[0] as PickleValue, pair[1] as PickleValue];
    }),
  );
}

const list = ([items]: readonly PickleValue[]): PickleValue[] => (Array.isArray(items) ? [...items] : []);

/** An instance of a class: copyreg._reconstructor(class, base, state). */
const instance: Make = ([type, ...rest]) =>
  new PickleObject(type instanceof PickleGlobal ? type.name : 'builtins.object', rest);

/** A tensor of a kind whose elements are not read: its shape is among the arguments of some kinds only. */
const unreadable =
  (dtype: string, shapeAt?: number): Make =>
  (args) => {
    const shape = shapeAt === undefined ? [] : args[shapeAt];
    return new UnreadableTensor(dtype, Array.isArray(shape) ? shape.map(Number) : []);
  };

/** _rebuild_from_type_v2(function, type, arguments, state) calls the function with the arguments. */
function rebuildFromType([callee, , args]: readonly PickleValue[]): PickleValue {
  if (callee instanceof PickleGlobal && Array.isArray(args)) return callee.make(args);
  throw new PickleFault(`it rebuilds a tensor with ${nameOfKind(callee)}`);
}

const FUNCTIONS: Readonly<Record<string, Make>> = {
  'collections.OrderedDict': map,
  'collections.Counter': map,
  'collections.defaultdict': () => new Map(),
  'builtins.set': (args) => new Set(list(args)),
  'builtins.frozenset': (args) => new Set(list(args)),
  // Protocol 2 writes bytes as text in Latin-1.
  '_codecs.encode': ([text]) => Buffer.from(typeof text === 'string' ? text : '', 'latin1'),
  'copyreg._reconstructor': instance,
  'copyreg.__newobj__': instance,
  'copyreg.__newobj_ex__': instance,
  'numpy.core.multiarray._reconstruct': instance,
  'numpy._core.multiarray._reconstruct': instance,
  'torch.Size': list,
  'torch._utils._rebuild_tensor': rebuildTensor,
  'torch._utils._rebuild_tensor_v2': rebuildTensor,
  'torch._utils._rebuild_tensor_v3': rebuildTensor,
  'torch._utils._rebuild_qtensor': unreadable('a quantized type', 2),
  'torch._utils._rebuild_sparse_tensor': unreadable('a sparse type'),
  'torch._utils._rebuild_sparse_csr_tensor': unreadable('a sparse type'),
  'torch._utils._rebuild_nested_tensor': unreadable('a nested type'),
  'torch._utils._rebuild_meta_tensor_no_storage': unreadable('a type without elements (meta)', 1),
  'torch._utils._rebuild_wrapper_subclass': unreadable('a subclass', 2),
  'torch._utils._rebuild_device_tensor_from_numpy': unreadable('a type of another device'),
  'torch._utils._rebuild_parameter': first,
  'torch._utils._rebuild_parameter_with_state': first,
  'torch._tensor._rebuild_from_type_v2': rebuildFromType,
  // TorchScript's typed lists
  'torch.jit._pickle.build_boollist': first,
  'torch.jit._pickle.build_doublelist': first,
  'torch.jit._pickle.build_intlist': first,
  'torch.jit._pickle.build_tensorlist': first,
  'torch.jit._pickle.restore_type_tag': first,
};

/** Names of types, which are never called. */
const isType = (name: string): boolean =>
  Object.hasOwn(STORAGE_TYPES, name) ||
  Object.hasOwn(DTYPES, name) ||
  name === 'torch.nn.parameter.Parameter' ||
  name === 'torch.Tensor';

function makeOf(name: string): Make {
  if (Object.hasOwn(FUNCTIONS, name)) return FUNCTIONS[name] as Make;
  if (isType(name))
    return () => {
      throw new PickleFault(`it calls ${name}`);
    };
  // Any other class is a name with arguments and attributes, of which nothing runs.
  return (args) => new PickleObject(name, args);
}

/** The value of `module.name`. Throws PickleFault for a name that weights never have. */
export function resolveTorchClass(module: string, name: string): PickleGlobal {
  const full = `${module}.${name}`;
  if (!HOSTILE.test(full)) return new PickleGlobal(full, makeOf(full));
  throw new PickleFault(
    `it names ${full}, which weights do not need; mm does not run code from files`,
    'do not open the file with other programs; if you trust who made it, ask for the weights alone: torch.save(model.state_dict(), "weights.pt")',
  );
}
