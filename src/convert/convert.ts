// Other people's weights into checkpoints: the list of those that are known, and the writing.

import { rm } from 'node:fs/promises';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { readCheckpoint } from '../checkpoint/read.ts';
import type { TensorSource } from '../checkpoint/safetensors.ts';
import { type TensorSources, writeCheckpoint } from '../checkpoint/write.ts';
import { DataError, InterruptedError } from '../util/errors.ts';
import { dallePytorchClip, huggingFaceClip, openaiClip } from './clip/convert.ts';
import { dallePytorch } from './dalle/weights.ts';
import { dallePytorchDvae, openaiDvae } from './dvae/weights.ts';
import { type Converted, type Converter, type ConvertOptions, ExternalFiles } from './external.ts';

/** Each is asked in turn whether the files are its own. */
export const CONVERTERS: readonly Converter[] = [
  openaiDvae,
  dallePytorchDvae,
  dallePytorch,
  huggingFaceClip,
  openaiClip,
  dallePytorchClip,
];

async function recognize(files: ExternalFiles, options: ConvertOptions): Promise<Converted> {
  for (const converter of CONVERTERS) {
    const converted = await converter.convert(files, options);
    if (converted) return converted;
  }
  throw new DataError('no weights that mm knows', {
    code: 'E_WEIGHTS_UNKNOWN',
    where: files.where,
    fix: `it reads ${CONVERTERS.map(({ reads }) => reads).join('; ')}`,
  });
}

/** The tensors, of which none is read any more once the signal is aborted: the checkpoint is not written then. */
function* until(
  signal: AbortSignal | undefined,
  tensors: TensorSources,
  to: string,
): Generator<readonly [string, TensorSource]> {
  for (const [name, source] of tensors) {
    const data = async () => {
      if (signal?.aborted)
        throw new InterruptedError('stopped; no checkpoint was written', {
          code: 'E_INTERRUPTED',
          where: to,
        });
      return typeof source.data === 'function' ? source.data() : source.data;
    };
    yield [name, { ...source, data }] as const;
  }
}

async function write(to: string, { contents, dvae }: Converted, signal?: AbortSignal): Promise<void> {
  const base = { step: 0, seed: 0, dataPosition: null, metrics: {} };
  const folder = `${to}.dvae`;
  try {
    let carried: Checkpoint | undefined;
    if (dvae) {
      await write(folder, dvae, signal);
      carried = await readCheckpoint(folder, { kind: 'dvae', warn: () => {} });
    }
    const model = until(signal, contents.model, to);
    await writeCheckpoint(to, { ...base, ...contents, model, dvae: carried });
  } finally {
    if (dvae) await rm(folder, { recursive: true, force: true });
  }
}

/**
 * Converts the model in files of another program into the checkpoint folder `to`, and says what it was.
 * @throws DataError when the files are of no known kind, damaged, or do not fit together
 * @throws InterruptedError when the signal is aborted; nothing is left of the checkpoint then
 */
export async function convertWeights(
  from: readonly string[],
  to: string,
  options: ConvertOptions,
  signal?: AbortSignal,
): Promise<Converted> {
  const files = await ExternalFiles.find(from);
  try {
    const converted = await recognize(files, options);
    await write(to, converted, signal);
    return converted;
  } finally {
    await files.close();
  }
}
