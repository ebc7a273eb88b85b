// A converted CLIP against what open_clip computed from the same weights (open-clip-configs.py).

import { readFile } from 'node:fs/promises';
import { readCheckpoint } from '../../src/checkpoint/read.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { ClipPipeline } from '../../src/inference/clip/pipeline.ts';
import { textBatch, textTokens } from '../../src/models/clip/text.ts';
import { loadTokenizer } from '../../src/tokenizers/load.ts';
import { clipProbabilities } from '../../test/support/clip-probabilities.ts';

export const TOLERANCE = 1e-4;

interface Expected {
  readonly pixels: string;
  readonly strings: readonly string[];
  readonly ids: readonly (readonly number[])[];
  readonly imageFeatures: readonly number[];
  readonly textFeatures: readonly number[];
  readonly probabilities: readonly number[];
}

const largest = (values: ArrayLike<number>): number => Math.max(...Array.from(values, Math.abs));
const differences = (a: ArrayLike<number>, b: ArrayLike<number>): number[] =>
  Array.from(a, (value, i) => value - (b[i] as number));

/** The converted model against what the library computed: the line of the table, and whether it holds. */
export async function compareConverted(
  converted: string,
  expected: string,
): Promise<{ line: string; holds: boolean }> {
  const checkpoint = await readCheckpoint(converted, { kind: 'clip', warn: console.error });
  const wanted: Expected = JSON.parse(await readFile(expected, 'utf8'));
  const runtime = new Runtime();
  try {
    const clip = await ClipPipeline.open(runtime, checkpoint);
    const tokenizer = await loadTokenizer(checkpoint.tokenizerFile);
    const rows = wanted.strings.map((text) => textTokens(text, tokenizer, clip.config, true));
    const ids = [...(textBatch(rows, clip.config).text.data as Int32Array)];
    const sameIds = ids.join() === wanted.ids.flat().join();
    const images = await clip.encodeImages(Buffer.from(wanted.pixels, 'base64'));
    const texts = await clip.encodeTexts(wanted.strings, true);
    const probabilities = clipProbabilities(clip, images, texts);
    // Features relative to their size: they have length 1, so the largest component is the scale.
    const worst = [
      largest(differences(images, wanted.imageFeatures)) / largest(wanted.imageFeatures),
      largest(differences(texts, wanted.textFeatures)) / largest(wanted.textFeatures),
      largest(differences(probabilities, wanted.probabilities)),
    ];
    const [image, text, probability] = worst.map((value) => value.toExponential(1));
    return {
      line: `compared: image features ${image}, text features ${text}, probabilities ${probability}, ids ${sameIds ? 'identical' : 'DIFFER'}`,
      holds: sameIds && Math.max(...worst) < TOLERANCE,
    };
  } finally {
    await runtime.close();
  }
}
