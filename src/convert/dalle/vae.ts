// The image tokenizer of a DALLE-pytorch model: its DiscreteVAE, OpenAI's dVAE or a VQGAN. Its weights are among those
// of the model, under `vae.`; a checkpoint that was stripped of them needs one that was converted before.

import type { Checkpoint } from '../../checkpoint/checkpoint.ts';
import { readCheckpoint } from '../../checkpoint/read.ts';
import type { DalleModelConfig } from '../../config/dalle-model.ts';
import { type DvaeModelConfig, dvaeCheckpointSchema } from '../../config/dvae.ts';
import { imageTokenizer } from '../../models/dvae/architecture.ts';
import { counted } from '../../util/counted.ts';
import { UsageError } from '../../util/errors.ts';
import { discreteVae, openaiVae } from '../dvae/weights.ts';
import type { Converted } from '../external.ts';
import type { PickleValue } from '../pickle/values.ts';
import type { StateDict } from '../tensors.ts';
import { tamingVqgan } from '../vqgan/convert.ts';
import { type Settings, unusable } from './config.ts';

/** The image tokenizer: one to convert, or a checkpoint. */
export interface Vae {
  readonly dvae?: Converted;
  readonly included?: Checkpoint;
}

interface Source {
  /** What train_dalle saved. */
  readonly saved: Settings;
  /** The tensors under `vae.`, without that prefix. */
  readonly tensors: StateDict;
  readonly model: DalleModelConfig;
  readonly where: string;
  /** Gets what is left out. */
  readonly notes: string[];
}

/**
 * The image tokenizer of a model.
 * @param given a checkpoint to take instead of the model's own
 * @throws UsageError E_DVAE_MISSING, DataError when it does not fit the model
 */
export async function vaeOf(source: Source, given: string | undefined): Promise<Vae> {
  const { model, tensors, where, notes } = source;
  if (given !== undefined) {
    const included = await readCheckpoint(given, { kind: 'dvae', warn: (note) => notes.push(note) });
    assertFits(included.config(dvaeCheckpointSchema).model, model, given);
    if (tensors.size > 0)
      notes.push(`its own image tokenizer is left out, ${counted(tensors.size, 'tensor')}, for ${given}`);
    return { included };
  }
  const dvae = own(source);
  if (!dvae) {
    const name = source.saved.get('vae_class_name');
    const which = typeof name === 'string' ? ` (${name})` : '';
    throw new UsageError(`the file has no weights of the model's image tokenizer${which}`, {
      code: 'E_DVAE_MISSING',
      option: 'dvae',
      where,
      fix: 'convert that image tokenizer first, and name its checkpoint with `dvae`',
    });
  }
  assertFits((dvae.contents.config as { model: DvaeModelConfig }).model, model, where);
  return { dvae };
}

function own({ saved, tensors, model, where, notes }: Source): Converted | undefined {
  const under = (prefix: string): StateDict =>
    new Map(
      [...tensors].flatMap(([name, tensor]) =>
        name.startsWith(prefix) ? [[name.slice(prefix.length), tensor]] : [],
      ),
    );
  if (tensors.has('codebook.weight')) {
    const settings = saved.get('vae_params') as PickleValue;
    if (settings instanceof Map) return discreteVae(settings, tensors, where);
    throw unusable(
      'it does not have the settings of its DiscreteVAE',
      where,
      'give a checkpoint of train_dalle',
    );
  }
  if (tensors.has('enc.blocks.input.w'))
    return openaiVae(under('enc.'), under('dec.'), (groups) => model.grid * 2 ** (groups - 1), where);
  if (tensors.has('model.quant_conv.weight')) {
    const vqgan = under('model.');
    const levels = new Set(
      [...vqgan.keys()].flatMap((name) => /^encoder\.down\.(\d+)\./.exec(name)?.[1] ?? []),
    );
    return tamingVqgan({ tensors: vqgan, where, notes }, model.grid * 2 ** (levels.size - 1));
  }
  return undefined;
}

/** @throws DataError where an image tokenizer has other codes than the model */
export function assertFits(config: DvaeModelConfig, model: DalleModelConfig, where: string): void {
  for (const [what, theirs, ours] of [
    ['codes on a side', imageTokenizer(config).grid, model.grid],
    ['codes in the codebook', config.vocabulary, model.imageVocabulary],
  ] as const) {
    if (theirs === ours) continue;
    throw unusable(
      `its image tokenizer has ${theirs} ${what}, the model ${ours}`,
      where,
      'name the image tokenizer that the model was trained with',
    );
  }
}
