// The tensors of a CLIP among the files that were given, out of the wrappers that training programs put around them.

import type { SafetensorsFile } from '../../checkpoint/safetensors.ts';
import type { ExternalFiles } from '../external.ts';
import { PickleObject, type PickleValue } from '../pickle/values.ts';
import { stateDict } from '../torch/state-dict.ts';
import { TorchTensor } from '../torch/tensor.ts';
import type { StateDict } from './tensors.ts';

export interface FoundTensors {
  readonly tensors: StateDict;
  readonly where: string;
}

/** Keys of a checkpoint that hold its state dictionary. */
const WRAPPERS = ['state_dict', 'model_state_dict', 'model'];
/** Prefixes of all names: of DataParallel, torch.compile, Lightning and the like. */
const PREFIX = /^((module|model|clip|_orig_mod)\.)+/;
/** open_clip's text tower with `custom_text`. */
const TEXT = /^text\.(?=transformer\.|token_embedding\.|positional_embedding$|ln_final\.|text_projection$)/;

const plainName = (name: string): string => name.replace(PREFIX, '').replace(TEXT, '');

/** The first file whose tensors are those of a CLIP as `isOurs` knows it. */
export async function findTensors(
  files: ExternalFiles,
  isOurs: (tensors: StateDict) => boolean,
): Promise<FoundTensors | undefined> {
  for (const file of await files.safetensorsFiles()) {
    const tensors = fromSafetensors(file);
    if (isOurs(tensors)) return { tensors, where: file.path };
  }
  for (const { path, value } of await files.torchFiles()) {
    const tensors = fromTorch(value, path);
    if (tensors && isOurs(tensors)) return { tensors, where: path };
  }
  return undefined;
}

const fromSafetensors = (file: SafetensorsFile): StateDict =>
  new Map(file.names.map((name) => [plainName(name), { ...file.info(name), read: () => file.read(name) }]));

/** A state dictionary, one in a checkpoint of a training program, or a TorchScript archive. */
function fromTorch(value: PickleValue, path: string): StateDict | undefined {
  const wrapped =
    value instanceof Map
      ? WRAPPERS.map((key) => value.get(key)).find((each) => each instanceof Map)
      : undefined;
  const inner = wrapped ?? value;
  const isDictionary =
    inner instanceof Map && [...inner.values()].every((each) => each instanceof TorchTensor);
  if (!isDictionary && !(inner instanceof PickleObject)) return undefined;
  const tensors = stateDict(inner as PickleValue, path);
  return new Map(Array.from(tensors, ([name, tensor]) => [plainName(name), tensor]));
}
