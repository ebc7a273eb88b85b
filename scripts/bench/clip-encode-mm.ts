// mm's side of the bench of CLIP's image features: the images as bytes, through the encoder that mm rank and mm classify use.

import { Runtime } from '../../src/engine/session/runtime.ts';
import { openFullClip } from '../check/full-clip.ts';
import { serve } from './in-turn.ts';

await serve(async () => {
  const runtime = new Runtime();
  const { encoder, pixels } = await openFullClip(runtime, process.argv[2] as string);
  return async () => (await encoder.images(pixels))[0] as number;
});
