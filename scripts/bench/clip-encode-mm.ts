// mm's side of the benches of CLIP's features, through the encoder that mm rank and mm classify use: images as bytes, or
// label texts as ids.
// clip-encode-mm.ts FOLDER images|texts

import { Runtime } from '../../src/engine/session/runtime.ts';
import { openFullClip } from '../check/full-clip.ts';
import { serve } from './in-turn.ts';

const TEXTS = 32;
/** "a photo of a …". As open_clip_peer.py makes them. */
const labelTexts = Array.from({ length: TEXTS }, (_, i) => [49406, 320, 1125, 539, 320, 1000 + i, 49407]);
const [folder = '', what] = process.argv.slice(2);

await serve(async () => {
  const runtime = new Runtime();
  const { encoder, pixels } = await openFullClip(runtime, folder);
  const features = what === 'images' ? () => encoder.images(pixels) : () => encoder.texts(labelTexts);
  return async () => (await features())[0] as number;
});
