// Files of torch.save: a zip archive of a pickle and the storages of its tensors, each read when its turn comes.
// torch.load opens them with weights_only.

import { bytesPerElement, elementCount, type TensorType } from '../../checkpoint/dtype.ts';
import type { TensorSource } from '../../checkpoint/safetensors.ts';
import { writeAtomically } from '../../util/files.ts';
import {
  type Picklable,
  PickledCall,
  PickledName,
  PickledReference,
  PickledTuple,
  writePickle,
} from '../pickle/write.ts';
import { STORAGE_TYPES } from './storage.ts';
import { ZipWriter } from './zip.ts';

/** Plain data and tensors; StateDictToWrite becomes an ordered dictionary, as `state_dict()` gives it. */
export type TorchValue =
  | null
  | boolean
  | number
  | string
  | readonly TorchValue[]
  | ReadonlyMap<string, TorchValue>
  | StateDictToWrite;

/** Tensors by name. Those that are one object share their storage. */
export class StateDictToWrite {
  readonly tensors: ReadonlyMap<string, TensorSource>;

  constructor(tensors: ReadonlyMap<string, TensorSource>) {
    this.tensors = tensors;
  }
}

/** The folder in the archive. */
const FOLDER = 'archive';
const VERSION = '3\n';

const CLASSES: ReadonlyMap<TensorType, PickledName> = new Map(
  Object.entries(STORAGE_TYPES).flatMap(([name, dtype]) =>
    name === 'torch.storage.UntypedStorage'
      ? []
      : [[dtype as TensorType, new PickledName('torch', name.slice('torch.'.length))] as const],
  ),
);
const ORDERED_DICT = new PickledName('collections', 'OrderedDict');
const REBUILD = new PickledName('torch._utils', '_rebuild_tensor_v2');

function contiguousStrides(shape: readonly number[]): number[] {
  const strides: number[] = [];
  let stride = 1;
  for (const size of shape.toReversed()) {
    strides.unshift(stride);
    stride *= size;
  }
  return strides;
}

/** The tensors of a value in the order of their storages, and the value with references to them. */
function withReferences(value: TorchValue): {
  readonly storages: TensorSource[];
  readonly pickle: Picklable;
} {
  const keys = new Map<TensorSource, number>();
  const tensor = (source: TensorSource): Picklable => {
    const key = keys.get(source) ?? keys.size;
    keys.set(source, key);
    const { dtype, shape } = source;
    const count = elementCount(shape) as number;
    const storage = ['storage', CLASSES.get(dtype) as PickledName, String(key), 'cpu', count];
    return new PickledCall(REBUILD, [
      new PickledReference(new PickledTuple(...storage)),
      0,
      new PickledTuple(...shape),
      new PickledTuple(...contiguousStrides(shape)),
      false,
      new PickledCall(ORDERED_DICT, []),
    ]);
  };
  const visit = (inner: TorchValue): Picklable => {
    if (inner instanceof StateDictToWrite) {
      const entries = Array.from(inner.tensors, ([name, source]) => [name, tensor(source)] as const);
      return new PickledCall(ORDERED_DICT, [], new Map(entries));
    }
    if (inner instanceof Map) return new Map(Array.from(inner, ([key, part]) => [key, visit(part)]));
    if (Array.isArray(inner)) return inner.map(visit);
    return inner as Picklable;
  };
  const pickle = visit(value);
  return { storages: [...keys.keys()], pickle };
}

async function* bytesOf({ dtype, shape, data }: TensorSource): AsyncGenerator<Uint8Array> {
  const values = typeof data === 'function' ? await data() : data;
  if (values.length !== elementCount(shape))
    throw new RangeError(`a tensor of ${dtype} [${shape}] has ${values.length} elements`);
  yield new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/**
 * Writes a file of torch.save, whole or not at all.
 * @throws DataError when the disk is full or read-only
 */
export async function writeTorchFile(path: string, value: TorchValue): Promise<void> {
  const { storages, pickle } = withReferences(value);
  await writeAtomically(path, async (file) => {
    const zip = new ZipWriter(file);
    const add = (name: string, bytes: Buffer) => zip.add(`${FOLDER}/${name}`, bytes.length, [bytes]);
    await add('data.pkl', writePickle(pickle));
    await add('byteorder', Buffer.from('little'));
    for (const [key, source] of storages.entries()) {
      const size = (elementCount(source.shape) as number) * bytesPerElement(source.dtype);
      await zip.add(`${FOLDER}/data/${key}`, size, bytesOf(source));
    }
    await add('version', Buffer.from(VERSION));
    await zip.finish();
  });
}
