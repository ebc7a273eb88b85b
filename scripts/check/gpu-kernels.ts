// The ops of every compiled function that have no kernel for GPUs, and the tensors that a run copies between the memories
// of the processor and of the GPU; on a machine without a GPU. LIBRARY is a folder with the CUDA build of libtensorflow,
// as `mm setup --from tensorflow-….whl` unpacks it.
//
//   MM_TENSORFLOW=LIBRARY node --import tsx scripts/check/gpu-kernels.ts
//
// Ends with 1 when an op has none.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sample } from '../../src/api/mm.ts';
import type { Graph } from '../../src/engine/graph/graph.ts';
import { locateLibrary } from '../../src/engine/library/locate.ts';
import { useTensorFlow } from '../../src/engine/tfjs/backend.ts';
import { UsageError } from '../../src/util/errors.ts';
import {
  clipConfig,
  clipSession,
  dalleConfig,
  dalleSession,
  dvaeConfig,
  dvaeSession,
  WARM_START,
  writeDalleData,
} from '../../test/support/tiny-runs.ts';
import { collectFunctions, type RecordedFunction } from './gpu-kernels/functions.ts';
import { KernelRegistry } from './gpu-kernels/registry.ts';

const library = locateLibrary();
useTensorFlow();
let registry: KernelRegistry | undefined;
const registryOf = ({ api }: Graph): KernelRegistry => {
  registry ??= new KernelRegistry(api, library.tensorflow);
  if (registry.isForGpus) return registry;
  throw new UsageError('this libtensorflow has no kernels for GPUs', {
    code: 'E_NO_GPU_BUILD',
    where: library.tensorflow,
    fix: 'name a folder with the CUDA build in MM_TENSORFLOW',
  });
};
const functions = collectFunctions(registryOf);

const root = await mkdtemp(join(tmpdir(), 'mm-gpu-kernels-'));
const at = (name: string): string => join(root, name);
const data = { path: at('images'), dvae: at('dvae'), tokenizer: at('tokenizer.json') };
const captioned = { path: data.path, tokenizer: data.tokenizer };
/** With batch norm and attention over the pixels. */
const RESNET = { image: { tower: 'resnet', size: 32, width: 2, blocks: [1, 1, 1, 1] } };
const failures: string[] = [];

/** Trains or samples; what a processor cannot run of what was recorded for a GPU says nothing about the kernels. */
async function attempt(what: string, run: () => Promise<unknown>): Promise<void> {
  process.stderr.write(`${what}\n`);
  try {
    await run();
  } catch (error) {
    failures.push(`${what}: ${(error as Error).message}`);
  }
}

try {
  await writeDalleData(root, 14);
  for (const precision of ['float32', 'bfloat16', 'float16'] as const) {
    const train = { precision };
    await attempt(`train-dvae, ${precision}`, () =>
      dvaeSession(dvaeConfig(data.path, 0, { ...train, warmStart: WARM_START }))(at(`dvae ${precision}`)),
    );
    // CLIP's trainer has no scales for float16.
    if (precision !== 'float16')
      await attempt(`train-clip, ${precision}`, () =>
        clipSession(clipConfig(captioned, { train }))(at(`clip ${precision}`)),
      );
    await attempt(`train-dalle, ${precision}`, () =>
      dalleSession(dalleConfig(data, 0, train))(at(`dalle ${precision}`)),
    );
    const options = { dalle: at(`dalle ${precision}`), prompts: ['a red circle'], count: 2, precision };
    await attempt(`sample, ${precision}`, async () => {
      for await (const image of sample({ ...options, guidance: 2, topK: 5, topP: 0.9 })) await image.png();
    });
  }
  await attempt('train-clip, a ResNet', () =>
    clipSession(clipConfig(captioned, { model: RESNET }))(at('clip resnet')),
  );
} finally {
  await rm(root, { recursive: true });
}

report(functions);
for (const failure of failures) process.stdout.write(`not run to its end: ${failure}\n`);

function report(all: readonly RecordedFunction[]): void {
  const rows = new Map<string, RecordedFunction>();
  for (const one of all) {
    const known = rows.get(one.name);
    if (!known || known.nodes < one.nodes) rows.set(one.name, one);
  }
  process.stdout.write('| function | nodes | on the processor | copies to the GPU | from the GPU |\n');
  process.stdout.write('| --- | --- | --- | --- | --- |\n');
  for (const { name, nodes, onProcessor, toGpu, fromGpu } of rows.values()) {
    const count = [...onProcessor.values()].reduce((a, b) => a + b, 0);
    process.stdout.write(`| ${name} | ${nodes} | ${count} | ${toGpu.length} | ${fromGpu.length} |\n`);
  }
  for (const { name, toGpu, fromGpu } of rows.values()) {
    if (fromGpu.length > 1) process.stdout.write(`${name}: from the GPU: ${counted(fromGpu)}\n`);
    if (toGpu.length > 1) process.stdout.write(`${name}: to the GPU: ${counted(toGpu)}\n`);
  }
  const missing = new Map(
    all.flatMap(({ name, onProcessor }) => [...onProcessor.keys()].map((op) => [op, name])),
  );
  for (const [op, name] of missing) process.stdout.write(`no kernel for GPUs: ${op}, in ${name}\n`);
  process.exitCode = missing.size > 0 ? 1 : 0;
}

function counted(all: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const one of all) counts.set(one, (counts.get(one) ?? 0) + 1);
  return [...counts].map(([one, count]) => (count > 1 ? `${one} (${count})` : one)).join(', ');
}
