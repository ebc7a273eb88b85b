// Every configuration of open_clip, and transformers' CLIPModel: converted and compared with the library at reduced depth
// and vocabulary, with random weights; or refused by name. Prints a table and the counts.
// PYTHON has torch, open_clip and transformers.
//
//   node --import tsx scripts/check/open-clip-configs.ts PYTHON [NAME …]

import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { readCheckpoint } from '../../src/checkpoint/read.ts';
import { writeSafetensors } from '../../src/checkpoint/safetensors.ts';
import { convertWeights } from '../../src/convert/convert.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { ClipPipeline } from '../../src/inference/clip/pipeline.ts';
import { textBatch, textTokens } from '../../src/models/clip/text.ts';
import { loadTokenizer } from '../../src/tokenizers/load.ts';
import { UsageError, UserError } from '../../src/util/errors.ts';
import { clipProbabilities } from '../../test/support/clip-probabilities.ts';
import { runScript } from '../bench/script.ts';

const PEER = fileURLToPath(new URL('./open-clip-configs.py', import.meta.url));
const TOLERANCE = 1e-4;
const TRANSFORMERS = 'transformers CLIPModel';

interface Listed {
  readonly name: string;
  readonly family: string;
  readonly config: { readonly text_cfg?: { readonly hf_tokenizer_name?: string } };
}
interface Expected {
  readonly pixels: string;
  readonly strings: readonly string[];
  readonly ids: readonly (readonly number[])[];
  readonly imageFeatures: readonly number[];
  readonly textFeatures: readonly number[];
  readonly probabilities: readonly number[];
}

const python = (program: string, ...args: string[]) =>
  promisify(execFile)(program, [PEER, ...args], { maxBuffer: 2 ** 26 });

const largest = (values: ArrayLike<number>): number => Math.max(...Array.from(values, Math.abs));
const differences = (a: ArrayLike<number>, b: ArrayLike<number>): number[] =>
  Array.from(a, (value, i) => value - (b[i] as number));

/** The converted model against what the library computed: the line of the table, and whether it holds. */
async function compare(folder: string): Promise<{ line: string; holds: boolean }> {
  const to = join(folder, 'converted');
  await convertWeights([folder], to, {});
  const checkpoint = await readCheckpoint(to, { kind: 'clip', warn: console.error });
  const wanted: Expected = JSON.parse(await readFile(join(folder, 'expected.json'), 'utf8'));
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

/** The refusal of a folder with this configuration, whose weights are not looked at. */
async function refusal(folder: string, config: object): Promise<string | undefined> {
  await writeFile(join(folder, 'open_clip_config.json'), JSON.stringify({ model_cfg: config }));
  const weights = { dtype: 'float32', shape: [1], data: new Float32Array(1) } as const;
  await writeSafetensors(join(folder, 'open_clip_model.safetensors'), [['weight', weights]]);
  try {
    await convertWeights([folder], join(folder, 'converted'), {});
    return undefined;
  } catch (error) {
    if (error instanceof UserError && error.code === 'E_CLIP_UNSUPPORTED') return error.message;
    throw error;
  }
}

await runScript(async () => {
  const [program, ...named] = process.argv.slice(2);
  if (program === undefined)
    throw new UsageError('give the Python that has torch and open_clip', { code: 'E_ARGUMENT_MISSING' });
  const all: Listed[] = JSON.parse((await python(program, 'list')).stdout);
  const listed = [...all, { name: TRANSFORMERS, family: 'native', config: {} }];
  const chosen = named.length > 0 ? listed.filter(({ name }) => named.includes(name)) : listed;
  const counts = { compared: 0, refused: 0, failed: 0 };
  for (const { name, family, config } of chosen) {
    const folder = await mkdtemp(join(tmpdir(), 'mm-open-clip-'));
    try {
      await mkdir(folder, { recursive: true });
      const refused =
        name === TRANSFORMERS ? undefined : family === 'native' ? undefined : await refusal(folder, config);
      if (refused !== undefined) {
        counts.refused++;
        console.log(`${name}: refused: ${refused}`);
        continue;
      }
      if (family !== 'native') throw new Error(`${name}, ${family}, was not refused`);
      if (name === TRANSFORMERS) await python(program, 'transformers', folder);
      else await python(program, 'write', name, folder);
      const { line, holds } = await compare(folder);
      counts[holds ? 'compared' : 'failed']++;
      console.log(`${name}: ${holds ? '' : 'FAILS: '}${line}`);
    } catch (error) {
      const isRefused = error instanceof UserError && error.code === 'E_CLIP_UNSUPPORTED';
      counts[isRefused ? 'refused' : 'failed']++;
      console.log(`${name}: ${isRefused ? 'refused' : 'FAILS'}: ${(error as Error).message.split('\n')[0]}`);
    } finally {
      await rm(folder, { recursive: true });
    }
  }
  console.log(
    `${chosen.length} configurations: ${counts.compared} converted and equal within ${TOLERANCE}, ${counts.refused} refused by name, ${counts.failed} failed`,
  );
  if (counts.failed > 0) process.exitCode = 1;
});
