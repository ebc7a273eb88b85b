// Compares a CLIP of full size with open_clip's: the same random weights, the same images and texts. PYTHON has torch
// and open_clip; the weights, 600 MB and more, go into a temporary folder.
//
//   node --import tsx scripts/check/clip-open-clip.ts PYTHON [ViT-B-32-quickgelu] [RN50-quickgelu] …

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { UsageError } from '../../src/util/errors.ts';
import { runProgram, runScript } from '../bench/script.ts';
import { openFullClip } from './full-clip.ts';

const PEER = fileURLToPath(new URL('../bench/open_clip_peer.py', import.meta.url));
const TOLERANCE = 1e-4;

const largest = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.max(...Array.from(a, (value, i) => Math.abs(value - (b[i] as number))));

async function compare(python: string, model: string): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), 'mm-open-clip-'));
  try {
    await runProgram(python, [PEER, 'write', model, folder]);
    const { texts, imageFeatures, textFeatures } = JSON.parse(
      await readFile(join(folder, 'expected.json'), 'utf8'),
    );
    const runtime = new Runtime();
    try {
      const { encoder, pixels } = await openFullClip(runtime, folder);
      const images = largest(await encoder.images(pixels), imageFeatures);
      const words = largest(await encoder.texts(texts), textFeatures);
      console.log(
        `${model}: image features differ by ${images.toExponential(1)}, text features by ${words.toExponential(1)}`,
      );
      return Math.max(images, words) < TOLERANCE;
    } finally {
      await runtime.close();
    }
  } finally {
    await rm(folder, { recursive: true });
  }
}

await runScript(async () => {
  const [python, ...named] = process.argv.slice(2);
  if (python === undefined)
    throw new UsageError('give the Python that has torch and open_clip', { code: 'E_ARGUMENT_MISSING' });
  const models = named.length > 0 ? named : ['ViT-B-32-quickgelu', 'RN50-quickgelu'];
  for (const model of models) if (!(await compare(python, model))) process.exitCode = 1;
});
