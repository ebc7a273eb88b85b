// A configuration of open_clip at its real size, with random weights: converted, with the peak of memory, and compared.
// open_clip, the conversion and mm run in separate processes, one after the other. PYTHON has torch and open_clip; the
// files, up to 20 GB, go into a temporary folder. NAME may be NAME:TAG, for the preprocessing of these published weights;
// TYPE is float32, float16 or bfloat16; ENDING safetensors or pt.
//
//   node --import tsx scripts/check/open-clip-full-size.ts PYTHON NAME [TYPE [ENDING]]

import { execFile } from 'node:child_process';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { SafetensorsFile } from '../../src/checkpoint/safetensors.ts';
import { convertWeights } from '../../src/convert/convert.ts';
import { UsageError } from '../../src/util/errors.ts';
import { runProgram, runScript } from '../bench/script.ts';
import { compareConverted } from './open-clip-compare.ts';

const PEER = fileURLToPath(new URL('./open-clip-configs.py', import.meta.url));
const THIS = fileURLToPath(import.meta.url);
/** The tokenizer of openai/CLIP, by the name under which it is published. */
const MERGES = 'bpe_simple_vocab_16e6.txt.gz';

const inProcess = async (...args: string[]): Promise<string> =>
  (await promisify(execFile)(process.execPath, ['--import', 'tsx', THIS, ...args])).stdout.trim();

const megabytes = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`;

/** Bytes of the largest tensor. */
async function largestTensor(path: string): Promise<number> {
  const file = await SafetensorsFile.open(path);
  const bytes = file.names.map((name) => {
    const { dtype, shape } = file.info(name);
    return shape.reduce((a, b) => a * b, 1) * (dtype === 'float32' ? 4 : 2);
  });
  await file.close();
  return Math.max(...bytes);
}

async function convert(folder: string): Promise<void> {
  const merges = join(folder, MERGES);
  const isOpenai = await stat(merges).then(
    () => true,
    () => false,
  );
  await convertWeights([folder], join(folder, 'converted'), { tokenizer: isOpenai ? merges : undefined });
  // On Linux in kilobytes.
  console.log(process.resourceUsage().maxRSS * 1024);
}

await runScript(async () => {
  const [first, name, type = 'float32', ending = 'safetensors'] = process.argv.slice(2);
  if (first === undefined || name === undefined)
    throw new UsageError('give the Python that has open_clip, and a configuration', {
      code: 'E_ARGUMENT_MISSING',
    });
  if (first === 'convert') return convert(name);
  if (first === 'compare') {
    const { line, holds } = await compareConverted(join(name, 'converted'), join(name, 'expected.json'));
    console.log(`${holds ? '' : 'FAILS: '}${line}`);
    return;
  }
  const folder = await mkdtemp(join(tmpdir(), 'mm-open-clip-'));
  try {
    await runProgram(first, [PEER, 'full', name, folder, type, ending]);
    const peak = Number(await inProcess('convert', folder));
    const weights = join(folder, 'converted', 'model.safetensors');
    const largest = await largestTensor(weights);
    const { size } = await stat(weights);
    console.log(
      `${name}, ${type}, ${ending}: ${megabytes(size)} converted with at most ${megabytes(peak)} of memory, ${megabytes(peak - largest)} above the largest tensor of ${megabytes(largest)}`,
    );
    const line = await inProcess('compare', folder);
    console.log(`${name}: ${line}`);
    if (line.startsWith('FAILS')) process.exitCode = 1;
  } finally {
    await rm(folder, { recursive: true });
  }
});
