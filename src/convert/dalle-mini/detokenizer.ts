// min-dalle's VQGAN: detoker.pt, the decoder of dalle-mini's VQGAN alone, with taming-transformers' names.

import { vqganSpec } from '../../models/vqgan/model.ts';
import type { Converted, Converter, ExternalDict } from '../external.ts';
import { renameExactly } from '../rules.ts';
import type { StateDict } from '../tensors.ts';
import { tamingRules } from '../vqgan/names.ts';
import { decoderSettings, parseModel } from '../vqgan/settings.ts';

const CODEBOOK = 'embedding.weight';

export const isDetokenizer = ({ tensors }: Pick<ExternalDict, 'tensors'>): boolean =>
  [CODEBOOK, 'post_quant_conv.weight', 'decoder.conv_in.weight', 'decoder.mid.block_1.conv1.weight'].every(
    (name) => tensors.has(name),
  );

/** @throws DataError when mm does not have such a decoder */
export function detokenizer(tensors: StateDict, where: string, grid?: number): Converted {
  const named = new Map(
    Array.from(tensors, ([name, tensor]) => [name === CODEBOOK ? 'quantize.embedding.weight' : name, tensor]),
  );
  const settings = decoderSettings(named);
  // Its images are of 16 × 16 codes wherever it was published; its weights do not say.
  const imageSize = (grid ?? 16) * 2 ** (settings.levelChannels.length - 1);
  const model = parseModel({ ...settings, imageSize, hasEncoder: false, pixels: 'unit' }, where);
  const { tensors: found } = renameExactly(
    named,
    tamingRules(model),
    vqganSpec(model),
    where,
    /^$/,
    'a VQGAN',
  );
  return {
    what: `min-dalle's VQGAN, a decoder alone, ${model.vocabulary} codes, ${imageSize} pixels`,
    contents: { kind: 'dvae', config: { model }, model: found },
  };
}

export const minDalleDetokenizer: Converter = {
  reads: "min-dalle's VQGAN: detoker.pt",
  takes: [],

  async convert(files) {
    const found = (await files.stateDicts()).filter(isDetokenizer);
    const [only, another] = found;
    if (!only || another) return undefined;
    files.used.add(only.where);
    return detokenizer(only.tensors, only.where);
  },
};
