// A GPU for a quarter of an hour: `mm doctor`, then a train step and drawing of a joint Transformer of width 1024 and 24
// layers (350 million parameters) in bfloat16, with XLA on and off, against PyTorch and DALLE-pytorch, in turn.
//
//   node --import tsx scripts/bench/gpu.ts [--batch 8] [--rounds 3] [--json FILE] [--small]
//       --batch is that of a train step, for GPUs with less memory than 80 GB; --small tries the script itself: a small
//       model, on the processor where there is no GPU
//
// Before: `npm run build`, `mm setup --gpu`, and MM_PEERS as for `npm run bench`, with PyTorch's build for CUDA. About 12 minutes.

import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { EngineError } from '../../src/util/errors.ts';
import { type Bench, mmSide, pathHere, pythonSide } from './bench.ts';
import { FULL, LONG, SMALL } from './dalle-models.ts';
import type { Contestant } from './in-turn.ts';
import { machine } from './machine.ts';
import { measureAll } from './measure.ts';
import { assertPeers, count, runScript } from './script.ts';

const LARGE = {
  ...LONG,
  ...FULL,
  textVocabulary: 16384,
  imageVocabulary: 8192,
  width: 1024,
  layers: 24,
  heads: 16,
};
const TRAIN = { precision: 'bfloat16', recompute: 'light' };
const TOKENS = { unit: 'tokens', warmup: 2 } as const;

interface Setting {
  readonly model: typeof SMALL | typeof LARGE;
  readonly batch: number;
  readonly rounds: number;
  readonly device: 'cuda' | 'cpu';
}

/** mm as it is, and with TensorFlow choosing what XLA compiles. */
function withXla(side: Contestant, device: string): Contestant[] {
  const flags = device === 'cuda' ? '--tf_xla_auto_jit=2' : '--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit';
  return [side, { ...side, name: 'mm, XLA', env: { TF_XLA_FLAGS: flags } }];
}

function benches({ model, batch, rounds, device }: Setting): Bench[] {
  const { width, layers, textLength, grid } = model;
  const section = JSON.stringify(model);
  const about = `width ${width}, ${layers} layers, bfloat16`;
  const torch = (name: string, kind: string) =>
    pythonSide(name, 'transformer_step.py', kind, section, batch, device);
  const drawing = (images: number): Bench => ({
    ...TOKENS,
    name: `gpu-drawing-${images}`,
    about: `${images} at a time: ${grid ** 2} image tokens after ${textLength}, ${about}`,
    items: images * grid ** 2,
    rounds: Math.min(rounds, 2),
    steps: 1,
    warmup: 1,
    sides: () => [
      ...withXla(mmSide('drawing-mm.ts', model, images, 'mean', 'bfloat16'), device),
      pythonSide('DALLE-pytorch', 'drawing.py', section, images, device, 'bfloat16'),
    ],
  });
  return [
    {
      ...TOKENS,
      name: 'gpu-train',
      about: `a train step, batch ${batch} of ${textLength} + ${grid ** 2} tokens, ${about}`,
      items: batch * (textLength + grid ** 2),
      rounds,
      steps: 5,
      sides: () => [
        ...withXla(mmSide('transformer-mm.ts', model, batch, TRAIN), device),
        torch('PyTorch eager, SDPA', 'bfloat16'),
        torch('torch.compile', 'bfloat16-compile'),
      ],
    },
    drawing(1),
    drawing(16),
  ];
}

/** Prints what `mm doctor` finds. @returns whether TensorFlow sees a GPU @throws EngineError where mm does not work */
function doctor(): boolean {
  const args = [pathHere('../../bin/mm.js'), 'doctor'];
  const { stdout, status } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  console.log(stdout);
  if (status !== 0) throw new EngineError('mm does not work here', { code: 'E_DOCTOR' });
  return /\bGPU:0\b/.test(stdout);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      batch: { type: 'string', default: '8' },
      rounds: { type: 'string', default: '3' },
      json: { type: 'string' },
      small: { type: 'boolean', default: false },
    },
  });
  const hasGpu = doctor();
  if (!hasGpu && !values.small)
    throw new EngineError('TensorFlow sees no GPU', {
      code: 'E_NO_GPU',
      fix: '`mm setup --gpu`; --small tries this script on the processor',
    });
  assertPeers('torch and dalle-pytorch');
  const setting: Setting = {
    model: values.small ? SMALL : LARGE,
    batch: count('--batch', values.batch),
    rounds: count('--rounds', values.rounds),
    device: hasGpu ? 'cuda' : 'cpu',
  };
  await measureAll(benches(setting), { file: values.json, machine: machine(undefined) });
}

await runScript(main);
