// What a file is, by its content: endings of weights' files say little.

import { open, stat } from 'node:fs/promises';
import { DataError } from '../../util/errors.ts';
import { readError } from '../../util/files.ts';

export interface FileKind {
  readonly kind: 'torch' | 'safetensors' | 'flax' | 'other';
  /** Of another kind: its name, where it has one, and what makes weights of it that mm reads. */
  readonly name?: string;
  readonly fix?: string;
}

const HEAD_BYTES = 512;
/** As in safetensors-header.ts: a longer header is not one. */
const MAX_HEADER_BYTES = 100_000_000n;
const TORCH_ENDING = /\.(pt|pth|pkl|bin|ckpt)$/i;

const startsWith = (head: Buffer, text: string, at = 0): boolean =>
  head.subarray(at, at + text.length).toString('latin1') === text;

const UNPACK = 'unpack it, and convert what is inside';
export const OTHER_FORMATS: readonly (readonly [start: string, name: string, fix: string])[] = [
  ['GGUF', 'a GGUF file of quantized weights', "convert the model's PyTorch or safetensors files"],
  ['\x89HDF\r\n', 'an HDF5 file, as Keras writes', "convert the model's PyTorch or safetensors files"],
  ['\x93NUMPY', 'a NumPy array', 'convert the file of the whole model'],
  ['\x1f\x8b', 'a gzip archive', UNPACK],
  ['7z\xbc\xaf', 'a 7-Zip archive', UNPACK],
  ['\xfd7zXZ', 'an xz archive', UNPACK],
];

/** Files of formats that their beginning does not tell. */
export const OTHER_ENDINGS: readonly (readonly [ending: RegExp, name: string, fix: string])[] = [
  [/\.onnx$/i, 'an ONNX graph', "convert the model's PyTorch or safetensors files"],
  [/\.data-\d+-of-\d+$|\.pb$/i, 'a TensorFlow model', "convert the model's PyTorch or safetensors files"],
  [
    /\.distcp$/i,
    'a part of a checkpoint of torch.distributed',
    'make one file of it: python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER weights.pt',
  ],
];

/** @throws DataError for an empty file, and for a pointer or a web page instead of weights */
export async function kindOf(path: string): Promise<FileKind> {
  const file = await open(path, 'r').catch((cause: unknown) => {
    throw readError(cause, path, 'file');
  });
  try {
    const head = Buffer.alloc(HEAD_BYTES);
    const { bytesRead } = await file.read(head, 0, HEAD_BYTES, 0);
    const { size } = await file.stat();
    return kindOfHead(path, head.subarray(0, bytesRead), size);
  } finally {
    await file.close();
  }
}

function kindOfHead(path: string, head: Buffer, size: number): FileKind {
  const text = head.toString('utf8');
  if (text.startsWith('version https://git-lfs.github.com/spec/')) {
    const bytes = Number(/^size (\d+)$/m.exec(text)?.[1] ?? Number.NaN);
    const of = Number.isFinite(bytes) ? ` of ${(bytes / 1e6).toFixed(1)} MB` : '';
    throw new DataError(`a Git LFS pointer of ${size} bytes, and not the weights${of} it points to`, {
      code: 'E_WEIGHTS_POINTER',
      where: path,
      fix: 'run `git lfs pull` in its repository, or download the file itself',
    });
  }
  if (/^\s*<(!doctype|html|head|\?xml)/i.test(text))
    throw new DataError(`a web page of ${size} bytes, and not weights`, {
      code: 'E_WEIGHTS_WEB_PAGE',
      where: path,
      fix: 'download the file itself: open the address in a browser to see whether it needs a login, or says /blob/ where /resolve/ is the file',
    });
  if (/\.msgpack$/i.test(path)) return { kind: 'flax' };
  const byEnding = OTHER_ENDINGS.find(([ending]) => ending.test(path));
  if (byEnding) return { kind: 'other', name: byEnding[1], fix: byEnding[2] };
  if (startsWith(head, 'PK')) return { kind: 'torch' };
  if (head[0] === 0x80) return { kind: 'torch' };
  const other = OTHER_FORMATS.find(([start]) => startsWith(head, start));
  if (other) return { kind: 'other', name: other[1], fix: other[2] };
  if (startsWith(head, 'ustar', 257)) return { kind: 'other', name: 'a tar archive', fix: UNPACK };
  if (path.endsWith('.safetensors')) return { kind: 'safetensors' };
  const isHeader = head.length > 8 && head[8] === 0x7b && head.readBigUInt64LE() <= MAX_HEADER_BYTES;
  if (isHeader) return { kind: 'safetensors' };
  // Opening it says what is wrong with it.
  return { kind: TORCH_ENDING.test(path) ? 'torch' : 'other' };
}

export const isFile = async (path: string): Promise<boolean> =>
  (await stat(path).catch(() => undefined))?.isFile() ?? false;
