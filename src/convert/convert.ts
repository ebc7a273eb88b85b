// Conversion of external weights into checkpoints. The converters, in the order in which they look at the files:
//   dvae/weights.ts    OpenAI's dVAE: encoder.pkl and decoder.pkl
//   dalle/weights.ts   DALLE-pytorch's DALLE: dalle.pt
//   dvae/weights.ts    DALLE-pytorch's DiscreteVAE: vae.pt
//   rudalle/convert.ts ruDALL-E: pytorch_model.bin, with bpe.model and the VQGAN of rudalle-utils
//   dalle-mini/        min-dalle's DALL·E mini and mega: encoder.pt, decoder.pt, detoker.pt, vocab.json, merges.txt
//                      dalle-mini's: flax_model.msgpack, config.json, tokenizer.json; min-dalle's VQGAN alone
//   vqgan/convert.ts   VQGANs of taming-transformers and latent-diffusion: .ckpt, and model.yaml
//                      diffusers' VQModel: config.json and its weights
//   clip/convert.ts    Hugging Face's CLIP: config.json, model.safetensors and tokenizer.json
//                      Hugging Face's SigLIP: the same, or spiece.model
//                      ruCLIP: pytorch_model.bin, config.json and bpe.model
//                      OpenAI's CLIP and open_clip: .pt and .bin files
//                      DALLE-pytorch's CLIP: its state dictionary
// external.ts opens the files, files/ finds state dictionaries in them, torch/ and pickle/ read those of torch.save,
// flax/ those of Flax, and rules.ts renames tensors.

import { rm } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { readCheckpoint } from '../checkpoint/read.ts';
import { stoppable } from '../checkpoint/stoppable.ts';
import { writeCheckpoint } from '../checkpoint/write.ts';
import { counted } from '../util/counted.ts';
import { UsageError } from '../util/errors.ts';
import { dallePytorchClip, huggingFaceClip, huggingFaceSiglip, openaiClip, ruClip } from './clip/convert.ts';
import { dallePytorch } from './dalle/weights.ts';
import { dalleMini, minDalle } from './dalle-mini/convert.ts';
import { minDalleDetokenizer } from './dalle-mini/detokenizer.ts';
import { dallePytorchDvae, openaiDvae } from './dvae/weights.ts';
import { type Converted, type Converter, type ConvertOptions, ExternalFiles } from './external.ts';
import { rudalle } from './rudalle/convert.ts';
import type { WeightSource } from './rules.ts';
import { throwUnknown } from './unknown.ts';
import { diffusersVqgan, tamingOrLatentDiffusion } from './vqgan/convert.ts';

/** The first converter that recognizes the files converts them. */
export const CONVERTERS: readonly Converter[] = [
  openaiDvae,
  // Runs of DALLE-pytorch leave both, and the DALL·E's file has the dVAE in it.
  dallePytorch,
  dallePytorchDvae,
  // Its folder has its VQGAN too.
  rudalle,
  minDalle,
  dalleMini,
  minDalleDetokenizer,
  tamingOrLatentDiffusion,
  diffusersVqgan,
  huggingFaceClip,
  huggingFaceSiglip,
  ruClip,
  openaiClip,
  dallePytorchClip,
];

async function recognize(files: ExternalFiles, options: ConvertOptions): Promise<Converted> {
  for (const converter of CONVERTERS) {
    const converted = await converter.convert(files, options);
    if (!converted) continue;
    assertTaken(options, converter, files);
    return converted;
  }
  return throwUnknown(files, CONVERTERS);
}

/** Throws UsageError when an option is given that means nothing for the model. */
function assertTaken(options: ConvertOptions, { takes, reads }: Converter, { where }: ExternalFiles): void {
  if (!takes) return;
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  const unused = given.find(([key]) => key !== 'part' && !(takes as readonly string[]).includes(key))?.[0];
  if (unused === undefined) return;
  const [what] = reads.split(':');
  throw new UsageError(`\`${unused}\` means nothing for ${what}`, {
    code: 'E_OPTION_UNUSED',
    option: unused,
    where,
    fix: `leave \`${unused}\` out`,
  });
}

async function write(to: string, { contents, dvae }: Converted, signal?: AbortSignal): Promise<void> {
  const base = { step: 0, seed: 0, dataPosition: null, metrics: {} };
  const folder = `${to}.dvae`;
  try {
    let included: Checkpoint | undefined = contents.dvae;
    if (dvae) {
      await write(folder, dvae, signal);
      included = await readCheckpoint(folder, { kind: 'dvae', warn: () => {} });
    }
    const model = Array.from(
      contents.model,
      ([name, source]) => [name, stoppable(source, signal, 'no checkpoint was written', to)] as const,
    );
    await writeCheckpoint(to, { ...base, ...contents, model, dvae: included });
  } finally {
    if (dvae) await rm(folder, { recursive: true, force: true });
  }
}

/**
 * Converts the model in files of another program into the checkpoint folder `to`.
 * @param from files, and folders of files
 * @returns what was converted, and notes of what was chosen or left out
 * @throws DataError when no converter recognizes the files, or they are damaged or do not match each other
 * @throws InterruptedError when the signal is aborted; the checkpoint is removed
 */
export async function convertWeights(
  from: readonly string[],
  to: string,
  options: ConvertOptions,
  signal?: AbortSignal,
): Promise<Converted & { readonly notes: readonly string[] }> {
  const files = await ExternalFiles.find(from);
  try {
    const converted = await recognize(files, options);
    await write(to, converted, signal);
    const narrowed = Array.from(converted.contents.model).filter(
      ([, source]) => (source as WeightSource).isNarrowed,
    ).length;
    if (narrowed > 0) files.notes.push(`${counted(narrowed, 'tensor')} of float64, stored as float32`);
    const unused = await files.unused();
    if (unused.length > 0) files.notes.push(`left out: ${unused.map((path) => basename(path)).join(', ')}`);
    const faults = files.faults.map(({ message, where }) => `${where} is left out: ${message}`);
    return { ...converted, notes: [...files.notes, ...faults] };
  } finally {
    await files.close();
  }
}
