// Compares DALL·E mini with min-dalle at a published size, with random weights: logits, tokens with top-k 1, pixels; and
// says what memory and time opening takes.
//
//   node --import tsx scripts/check/min-dalle.ts SIZE [--python python] [--folder FOLDER] [--precision bfloat16]
//
// SIZE is mini, mega, mega-wide (mega's width, three layers) or small. FOLDER keeps what min-dalle wrote. mega takes 11 GB
// of memory and 25 GB of disk.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { loadCheckpoint } from '../../src/checkpoint/read.ts';
import { SafetensorsFile } from '../../src/checkpoint/safetensors.ts';
import { dalleMiniCheckpointSchema } from '../../src/config/dalle-mini.ts';
import { convertWeights } from '../../src/convert/convert.ts';
import { PRECISIONS, type Precision } from '../../src/engine/graph/precision.ts';
import { intScalar } from '../../src/engine/native/tensor.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { useCallingThread } from '../../src/engine/session/threads.ts';
import type { Scalar, Tensor, Tensor1D, Tensor2D } from '../../src/engine/tfjs/tf.ts';
import { openDalleMini } from '../../src/inference/dalle-mini/generator.ts';
import { clearedOnce } from '../../src/inference/sampler/kv-table.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    python: { type: 'string', default: 'python' },
    folder: { type: 'string' },
    precision: { type: 'string', default: 'float32' },
  },
});
const [size = 'mini'] = positionals;
const precision: Precision = PRECISIONS.find((type) => type === values.precision) ?? 'float32';
const folder = values.folder ?? mkdtempSync(join(tmpdir(), 'mm-min-dalle-'));
const script = fileURLToPath(new URL('../fixtures/min_dalle_models.py', import.meta.url));

const highWater = (): number => {
  const [, kilobytes = '0'] = /VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return Number(kilobytes) / 1e6;
};
const seconds = (since: number): string => `${((performance.now() - since) / 1000).toFixed(1)} s`;

try {
  if (!existsSync(join(folder, 'expected.json')))
    spawnSync(values.python, [script, size, folder], { stdio: 'inherit' });
  const wanted = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8'));
  const file = await SafetensorsFile.open(join(folder, 'expected.safetensors'));
  const theirs = await file.readAll();
  await file.close();
  const to = join(folder, 'converted');
  if (!existsSync(to)) {
    const parts = ['encoder.pt', 'decoder.pt', 'detoker.pt', 'vocab.json', 'merges.txt'];
    const from = parts.map((name) => join(folder, name));
    console.log((await convertWeights(from, to, { heads: size === 'small' ? 4 : undefined })).what);
  }
  const bytes = statSync(join(to, 'model.safetensors')).size;

  useCallingThread();
  const runtime = new Runtime();
  const before = highWater();
  const started = performance.now();
  const { model, tokens, codec } = await loadCheckpoint(
    to,
    { kind: 'dalle', warn: console.warn },
    async (checkpoint) => ({
      ...(await openDalleMini(runtime, checkpoint, precision)),
      ...checkpoint.config(dalleMiniCheckpointSchema),
    }),
  );
  console.log(
    `opened in ${seconds(started)}: ${(bytes / 1e9).toFixed(2)} GB of weights, ${highWater().toFixed(2)} GB at most (${before.toFixed(2)} before)`,
  );

  // The two rows of guidance, step by step, as the sampler has them.
  const rows = tokens.openRows(runtime, 'check', 2);
  const prompt = runtime.compile(
    'prompt',
    ({ text, row }: Record<'text' | 'row', Tensor>) => {
      for (const part of rows.prompt) part.run({ text_1T: text as Tensor2D, row: row as Scalar });
      return {};
    },
    { precision },
  );
  const step = runtime.compile(
    'step',
    ({ last, place }: Record<'last' | 'place', Tensor>) => ({
      logits: rows.step(last as Tensor1D, place as Scalar),
    }),
    { inOneThread: true, precision, frozen: tokens.variables, releases: true },
  );
  await clearedOnce(runtime, 'check', rows.variables)();
  for (const [row, ids] of [wanted.ids[0], []].entries()) {
    const text = tokens.textInput(ids);
    await prompt({ text: { dtype: 'int32', shape: [1, text.length], data: text }, row: intScalar(row) });
  }
  const vocabulary = model.imageVocabulary;
  let worst = 0;
  let [same, last] = [0, model.imageStart];
  for (const [i, token] of (wanted.tokens as number[]).entries()) {
    const fed = { dtype: 'int32', shape: [2], data: Int32Array.of(last, last) } as const;
    const { logits } = await step({ last: fed, place: intScalar(i - 1) });
    const own = logits.data as Float32Array;
    const all = theirs.get('logits')?.data as Float32Array;
    const part = all.subarray(i * own.length, (i + 1) * own.length);
    const size = Math.sqrt(part.reduce((sum, value) => sum + value ** 2, 0) / part.length);
    for (const [v, value] of part.entries())
      worst = Math.max(worst, Math.abs(value - (own[v] as number)) / size);
    let best = 0;
    const guided = (v: number): number =>
      (own[vocabulary + v] as number) * (1 - wanted.guidance) + (own[v] as number) * wanted.guidance;
    for (let v = 0; v < vocabulary; v++) if (guided(v) > guided(best)) best = v;
    if (best === token) same++;
    last = token;
    if (i === 0) console.log(`first token ${seconds(started)} after opening began`);
  }
  console.log(`${highWater().toFixed(2)} GB at most before decoding`);
  const pixels = await codec.decode(Int32Array.from(wanted.codes));
  const levels = theirs.get('pixels')?.data as Float32Array;
  const off = pixels.reduce((most, value, i) => Math.max(most, Math.abs(value - (levels[i] as number))), 0);
  console.log(`${size}, ${precision}: logits differ by ${worst.toExponential(1)} of their size at most`);
  console.log(
    `${same} of ${wanted.tokens.length} tokens the same; pixels by ${off.toFixed(3)} levels at most`,
  );
  console.log(
    `${highWater().toFixed(2)} GB at most, ${((highWater() * 1e9) / bytes).toFixed(2)} times the file of weights`,
  );
  await runtime.close();
} finally {
  if (values.folder === undefined) rmSync(folder, { recursive: true, force: true });
}
