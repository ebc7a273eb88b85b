// The image size of a dVAE, which its encoder halves a few times.

import type { z } from 'zod';
import { positiveInteger } from './fields.ts';

export const imageSize = positiveInteger().default(256).describe('pixels on a side; the images are square');

/** The image is halved `halvings` times: each needs an even side. */
export function checkHalvings(
  imageSize: number,
  halvings: number,
  what: string,
  context: z.core.$RefinementCtx,
): void {
  const factor = 2 ** halvings;
  if (imageSize % factor === 0) return;
  const message = `must be a multiple of ${factor} for ${what}; received ${imageSize}`;
  context.addIssue({ code: 'custom', path: ['imageSize'], message });
}
