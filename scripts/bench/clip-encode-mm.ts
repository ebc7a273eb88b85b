// mm's side of the benches of CLIP's features, through the encoder that mm rank and mm classify use: images as bytes, or
// label texts as ids.
// clip-encode-mm.ts FOLDER images|texts

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { openFullClip } from '../check/full-clip.ts';
import { serve } from './in-turn.ts';

const [folder = '', what] = process.argv.slice(2);

await serve(async () => {
  const runtime = new Runtime();
  const { encoder, pixels } = await openFullClip(runtime, folder);
  const labels: number[][] = JSON.parse(await readFile(join(folder, 'labels.json'), 'utf8'));
  const features = what === 'images' ? () => encoder.images(pixels) : () => encoder.texts(labels);
  return async () => (await features())[0] as number;
});
