// The images that a CLIP reads, decoded as its configuration says.

import type { ClipImageConfig } from '../config/clip.ts';
import type { DecodeOptions } from './decode.ts';
import type { Crop } from './frame.ts';

const CROPS = { shortest: 'center', longest: 'pad', squash: 'none' } as const satisfies Record<
  ClipImageConfig['resize'],
  Crop
>;

/** How an image becomes the input of a CLIP's image tower, before `normalizePixels`. */
export const clipInput = ({ size, resize, interpolation, fill }: ClipImageConfig) =>
  ({
    size,
    crop: CROPS[resize],
    preprocessing: 'clip',
    interpolation,
    fill,
  }) as const satisfies DecodeOptions;
