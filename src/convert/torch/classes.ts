// The classes and functions that a torch file may name, and their values here. Any other name is an error.

import type { TensorType } from '../../checkpoint/dtype.ts';
import { PickleFault } from '../pickle/fault.ts';
import {
  nameOfKind,
  PickleGlobal,
  type PickleMap,
  PickleObject,
  type PickleValue,
} from '../pickle/values.ts';
import { STORAGE_TYPES, TorchStorage } from './storage.ts';
import { TorchTensor } from './tensor.ts';

/** Classes whose objects are read as data: name, arguments and attributes. */
const DATA_CLASSES: ReadonlySet<string> = new Set([
  // encoder.pkl and decoder.pkl of openai/DALL-E are whole modules
  'dall_e.encoder.Encoder',
  'dall_e.encoder.EncoderBlock',
  'dall_e.decoder.Decoder',
  'dall_e.decoder.DecoderBlock',
  'dall_e.utils.Conv2d',
  'torch.nn.modules.container.Sequential',
  'torch.nn.modules.linear.Identity',
  'torch.nn.modules.activation.ReLU',
  'torch.nn.modules.pooling.MaxPool2d',
  'torch.nn.modules.upsampling.Upsample',
  // settings next to weights
  'argparse.Namespace',
  'builtins.complex',
  'builtins.list',
  'builtins.slice',
  'numpy.core.multiarray.scalar',
  'numpy._core.multiarray.scalar',
  'numpy.dtype',
  'pathlib.Path',
  'pathlib.PosixPath',
  'pathlib.PurePosixPath',
  'pathlib.WindowsPath',
  'torch.device',
]);

/** Classes that a TorchScript archive defines itself, in code that is not read. */
const SCRIPT_PREFIX = '__torch__.';

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
  if (type === undefined) throw new PickleFault(`a tensor's type is ${nameOfKind(dtype)}`);
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
  'torch.Size': list,
  'torch._utils._rebuild_tensor': rebuildTensor,
  'torch._utils._rebuild_tensor_v2': rebuildTensor,
  'torch._utils._rebuild_tensor_v3': rebuildTensor,
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

function makeOf(name: string): Make | undefined {
  if (Object.hasOwn(FUNCTIONS, name)) return FUNCTIONS[name];
  if (DATA_CLASSES.has(name) || name.startsWith(SCRIPT_PREFIX)) return (args) => new PickleObject(name, args);
  if (!isType(name)) return undefined;
  return () => {
    throw new PickleFault(`it calls ${name}`);
  };
}

/** The value of `module.name`. Throws PickleFault for an unknown name. */
export function resolveTorchClass(module: string, name: string): PickleGlobal {
  const full = `${module}.${name}`;
  const make = makeOf(full);
  if (make) return new PickleGlobal(full, make);
  throw new PickleFault(
    `it names ${full}, which weights do not need; mm does not run code from files`,
    'if you trust the file, save only its weights in Python: torch.save(model.state_dict(), "weights.pt")',
  );
}
