// A CLIP that was read from the files of another program, as the contents of a checkpoint.

import type { Converted, ConvertOptions, ExternalFiles } from '../external.ts';
import { isAsItCame, type Origin } from '../origin.ts';
import { asTheyCame } from '../tensors.ts';
import { assertTokenizerFits } from './tokenizer.ts';
import type { NamedTokenizer } from './tokenizer-config.ts';
import type { ConvertedClip } from './weights.ts';

type Contents = Converted['contents'];

interface ReadClip {
  readonly what: string;
  readonly origin: Origin;
  readonly clip: ConvertedClip;
  readonly tokenizer: NamedTokenizer;
}

/** Checks that the tokenizer fits, and notes what is not used. */
export function converted(
  { notes }: ExternalFiles,
  options: ConvertOptions,
  { what, clip, tokenizer, origin }: ReadClip,
): Converted {
  if (clip.inert.length > 0)
    notes.push(`tensors that are not used, and of types without weights: ${clip.inert.join(', ')}`);
  const { image, embedding } = clip.model;
  assertTokenizerFits(tokenizer, clip.model);
  const tower =
    image.tower === 'resnet' ? 'ResNet' : `ViT of ${image.layers} layers and ${image.heads} heads`;
  return {
    what: `${what}, ${tower}, ${image.size} pixels, ${embedding} features`,
    contents: {
      kind: 'clip',
      config: { model: clip.model, ...(isAsItCame(options) && { source: origin }) },
      model: clip.tensors,
      ...externalPart(clip, options),
      tokenizer: tokenizer.tokenizer,
    },
  };
}

/** The buffers of a model that is as it came. */
function externalPart({ beside }: ConvertedClip, options: ConvertOptions): Pick<Contents, 'external'> {
  const external = asTheyCame(beside);
  return external.length > 0 && isAsItCame(options) ? { external } : {};
}
