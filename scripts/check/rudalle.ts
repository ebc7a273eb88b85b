// Compares ruDALL-Es of published sizes with the package `rudalle`: the same random weights, converted from a folder as
// people have it, and the same caption. PYTHON has torch, transformers, rudalle and youtokentome.
//   xl    Malevich XL: 24 layers, width 2048; the first 32 image tokens. About 14 GB of memory and 6 GB of disk
//   wide  the same width in 4 layers, as Malevich and as Emojich; whole images
//   deep  24 layers of width 128; whole images
//
//   node --import tsx scripts/check/rudalle.ts PYTHON [xl] [wide-v2] [wide-v3] [deep-v2] [deep-v3] [--folder FOLDER]
//
// FOLDER keeps what the package wrote for one size, and what mm made of it.

import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Checkpoint } from '../../src/checkpoint/checkpoint.ts';
import type { TensorData } from '../../src/checkpoint/dtype.ts';
import { readCheckpoint } from '../../src/checkpoint/read.ts';
import { SafetensorsFile } from '../../src/checkpoint/safetensors.ts';
import { dalleCheckpointSchema } from '../../src/config/dalle.ts';
import { convertWeights } from '../../src/convert/convert.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import type { Tensor, Tensor2D } from '../../src/engine/tfjs/tf.ts';
import { DalleGenerator } from '../../src/inference/dalle/generator.ts';
import { Pipeline } from '../../src/inference/sampler/pipeline.ts';
import { padCaption } from '../../src/models/dalle/config.ts';
import { dalleSpec, logits } from '../../src/models/dalle/model.ts';
import { Weights } from '../../src/nn/weights.ts';
import { loadTokenizer } from '../../src/tokenizers/load.ts';
import { UsageError } from '../../src/util/errors.ts';
import { relativeDifference } from '../../test/support/parity.ts';
import { runProgram, runScript } from '../bench/script.ts';

const PEER = fileURLToPath(new URL('rudalle_full_size.py', import.meta.url));
const PROMPT = 'Красный круг на столе и синий квадрат';
const WHOLE = 32 ** 2;
const TOLERANCE = 1e-4;

interface Size {
  readonly version: 'v2' | 'v3';
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  /** Image tokens that are sampled. */
  readonly tokens: number;
}
const wide = { layers: 4, width: 2048, heads: 16, tokens: WHOLE };
const deep = { layers: 24, width: 128, heads: 2, tokens: WHOLE };
const SIZES: Readonly<Record<string, Size>> = {
  xl: { version: 'v3', ...wide, layers: 24, tokens: 32 },
  'wide-v2': { version: 'v2', ...wide },
  'wide-v3': { version: 'v3', ...wide },
  'deep-v2': { version: 'v2', ...deep },
  'deep-v3': { version: 'v3', ...deep },
};

type Theirs = ReadonlyMap<string, TensorData>;
const floats = (theirs: Theirs, name: string): Float32Array => theirs.get(name)?.data as Float32Array;

/** Differences of the logits of text and image. */
async function logitsFar(checkpoint: Checkpoint, theirs: Theirs): Promise<readonly [number, number]> {
  const runtime = new Runtime();
  try {
    const { model } = checkpoint.config(dalleCheckpointSchema);
    const weights = new Weights(runtime, 'dalle', dalleSpec(model));
    await weights.loadEach(checkpoint.tensors('model', weights.fileOptions));
    const run = runtime.compile('logits', ({ text, image }: { text: Tensor; image: Tensor }) => {
      const { text_BTV, image_BIV } = logits(weights.read(), text as Tensor2D, image as Tensor2D, model);
      return { text: text_BTV, image: image_BIV };
    });
    const tokenizer = await loadTokenizer(checkpoint.tokenizerFile);
    const data = padCaption(tokenizer.encode(PROMPT), model);
    const image = theirs.get('image') as TensorData;
    const made = await run({
      text: { dtype: 'int32', shape: [1, data.length], data },
      image: { dtype: 'int32', shape: [1, WHOLE], data: image.data as Int32Array },
    });
    const { textVocabulary, textLength } = model;
    const text = floats(theirs, 'textLogits');
    const classes = text.length / textLength;
    // Of version 3, a class of the first position's padding, which no caption has.
    const skipped = classes > textVocabulary + textLength ? textVocabulary : -1;
    const kept = text.filter((_, i) => i % classes !== skipped);
    return [
      relativeDifference(made.text.data as Float32Array, kept),
      relativeDifference(made.image.data as Float32Array, floats(theirs, 'imageLogits')),
    ];
  } finally {
    await runtime.close();
  }
}

/** The first `wanted` image tokens with top-k 1, then zeros; with the pixels of a whole image. */
async function sampled(checkpoint: Checkpoint, wanted: number) {
  const runtime = new Runtime();
  const stop = new AbortController();
  let codes: Int32Array = new Int32Array();
  try {
    const pipeline = new Pipeline(runtime, await DalleGenerator.open(runtime, checkpoint));
    const requests = [{ prompt: PROMPT, captionTokens: pipeline.encode(PROMPT).tokens, seed: 1 }];
    const onToken = (_: number, done: { imageTokens: Int32Array; tokenCount: number }): void => {
      codes = done.imageTokens;
      if (done.tokenCount === wanted && wanted < WHOLE) stop.abort();
    };
    const settings = { temperature: 1, topK: 1, guidance: 1 };
    const options = { batch: 1, onToken, signal: stop.signal };
    for await (const { pixels } of pipeline.generate(requests, settings, options)) return { codes, pixels };
    return { codes };
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    return { codes };
  } finally {
    await runtime.close();
  }
}

async function compare(python: string, name: string, kept: string | undefined): Promise<boolean> {
  const size = SIZES[name];
  if (!size) throw new UsageError(`no size ${name}`, { code: 'E_ARGUMENT_UNKNOWN' });
  const { version, layers, width, heads, tokens } = size;
  const folder = kept ?? (await mkdtemp(join(tmpdir(), 'mm-rudalle-')));
  const peer = (action: string): Promise<unknown> =>
    runProgram(python, [PEER, action, folder, version, ...[layers, width, heads].map(String)]);
  try {
    await mkdir(folder, { recursive: true });
    if (!existsSync(join(folder, 'expected.safetensors'))) await peer('make');
    const to = join(folder, 'converted');
    if (!existsSync(to)) await convertWeights([join(folder, 'model')], to, { rudalle: version, heads });
    const checkpoint = await readCheckpoint(to, { kind: 'dalle', warn: console.error });
    const file = await SafetensorsFile.open(join(folder, 'expected.safetensors'));
    const theirs = await file.readAll().finally(() => file.close());
    const [text, image] = await logitsFar(checkpoint, theirs);
    console.log(
      `${name}: logits differ by ${text.toExponential(1)} (text) and ${image.toExponential(1)} (image) of their size`,
    );
    const { codes, pixels } = await sampled(checkpoint, tokens);
    await writeFile(join(folder, 'codes.json'), JSON.stringify([...codes]));
    await peer('judge');
    const { equal } = JSON.parse(await readFile(join(folder, 'judged.json'), 'utf8')) as { equal: number };
    const count = Math.min(equal, tokens);
    const own = await readFile(join(folder, 'pixels.bin'));
    const levels = pixels?.reduce(
      (most, level, i) => Math.max(most, Math.abs(level - (own[i] as number))),
      0,
    );
    const far = levels === undefined ? '' : `; pixels differ by at most ${levels} of 255`;
    console.log(
      `${name}: with top-k 1 the first ${count} of ${tokens} image tokens are those of the package${far}`,
    );
    return text < TOLERANCE && image < TOLERANCE && count === tokens && (levels ?? 0) <= 1;
  } finally {
    if (kept === undefined) await rm(folder, { recursive: true });
  }
}

await runScript(async () => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { folder: { type: 'string' } },
  });
  const [python, ...named] = positionals;
  if (python === undefined)
    throw new UsageError('give the Python that has rudalle', { code: 'E_ARGUMENT_MISSING' });
  if (values.folder !== undefined && named.length !== 1)
    throw new UsageError('--folder is for one size', { code: 'E_ARGUMENT' });
  for (const name of named.length > 0 ? named : Object.keys(SIZES))
    if (!(await compare(python, name, values.folder))) process.exitCode = 1;
});
