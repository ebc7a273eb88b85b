// The time from opening a generator's checkpoint to its first image token, against the time that reading its file of
// weights takes, with the processor time of each stage and the bytes read, and the memory that all take.
//
//   node --import tsx scripts/bench/start-of-drawing.ts CHECKPOINT [--precision bfloat16] [--cold] [--json]
//
// The file is read once before, so that both sides find it in memory; with --cold it is put out of it before each.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { loadCheckpoint } from '../../src/checkpoint/read.ts';
import { PRECISIONS } from '../../src/engine/graph/precision.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { useCallingThread } from '../../src/engine/session/threads.ts';
import { openPipeline } from '../../src/inference/open-pipeline.ts';
import type { Pipeline } from '../../src/inference/sampler/pipeline.ts';
import { UsageError } from '../../src/util/errors.ts';
import { megabytes } from './in-turn.ts';
import { runScript } from './script.ts';

const CHUNK_BYTES = 2 ** 24;

/** Reads a file from end to end into one buffer. */
async function readThrough(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    const buffer = Buffer.alloc(CHUNK_BYTES);
    while ((await file.read(buffer, 0, CHUNK_BYTES, null)).bytesRead > 0);
  } finally {
    await file.close();
  }
}

/** What a part of the work took. */
interface Stage {
  readonly seconds: number;
  /** Time of the processor, in all threads, and of it the system's. */
  readonly processor: number;
  readonly system: number;
  /** Pages of memory that were got when they were first touched. */
  readonly faults: number;
  /** Read through the system's calls, from disk or memory. */
  readonly readMB: number;
}

function now(): Stage {
  const { userCPUTime, systemCPUTime, minorPageFault } = process.resourceUsage();
  const [, bytes = '0'] = /rchar: (\d+)/.exec(readFileSync('/proc/self/io', 'utf8')) ?? [];
  return {
    seconds: performance.now() / 1000,
    processor: (userCPUTime + systemCPUTime) / 1e6,
    system: systemCPUTime / 1e6,
    faults: minorPageFault,
    readMB: Number(bytes) / 2 ** 20,
  };
}

const differences = (end: Stage, start: Stage): Stage => ({
  seconds: end.seconds - start.seconds,
  processor: end.processor - start.processor,
  system: end.system - start.system,
  faults: end.faults - start.faults,
  readMB: end.readMB - start.readMB,
});

await runScript(async () => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      precision: { type: 'string', default: 'float32' },
      cold: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  });
  const [path] = positionals;
  const precision = PRECISIONS.find((type) => type === values.precision);
  if (path === undefined || precision === undefined)
    throw new UsageError('give a checkpoint, and a precision that mm has', { code: 'E_ARGUMENT' });
  const part = join(path, 'model.safetensors');
  const { size } = await stat(part);
  const forget = (): void => {
    if (values.cold) execFileSync('dd', [`if=${part}`, 'iflag=nocache', 'count=0'], { stdio: 'ignore' });
  };
  await readThrough(part);
  forget();
  let last = now();
  const stages: (Stage & { readonly name: string })[] = [];
  const endStage = (name: string): void => {
    const at = now();
    stages.push({ name, ...differences(at, last) });
    last = at;
  };
  await readThrough(part);
  endStage('reading');
  const reading = stages[0]?.seconds as number;
  forget();

  useCallingThread();
  const before = megabytes(process.pid, 'VmHWM') ?? 0;
  const started = performance.now();
  const runtime = new Runtime();
  last = now();
  const prompt = 'a red circle';
  const stop = new AbortController();
  const settingsOf = ({ generator }: Pipeline) => ({ temperature: 1, guidance: 1, ...generator.defaults });
  const requestsOf = (pipeline: Pipeline) => {
    const captionTokens = pipeline.encode(prompt, { truncate: true }).tokens;
    return [{ prompt, captionTokens, seed: 1 }];
  };
  const pipeline = await loadCheckpoint(path, { kind: 'dalle', warn: console.warn }, (checkpoint) =>
    openPipeline(runtime, checkpoint, {
      precision,
      meanwhile: async (begun) => {
        await begun.prepare(requestsOf(begun), settingsOf(begun), { batch: 1 });
      },
    }),
  );
  endStage('opening, with the prompt');
  const opened = megabytes(process.pid, 'VmHWM') ?? 0;
  let first = 0;
  const images = pipeline.generate(requestsOf(pipeline), settingsOf(pipeline), {
    batch: 1,
    signal: stop.signal,
    onToken: (done) => {
      if (done === 1) first = (performance.now() - started) / 1000;
      endStage(`token ${done}`);
      if (done === 3) stop.abort();
    },
  });
  await images.next().catch((error: Error) => {
    if (error.name !== 'AbortError') throw error;
  });
  const most = megabytes(process.pid, 'VmHWM') ?? 0;
  await runtime.close();
  const report = {
    ...{ precision, cold: values.cold, weightsMB: size / 2 ** 20, stages },
    ...{ reading, first, timesReading: first / reading },
    ...{ beforeMB: before, openedMB: opened, mostMB: most, timesWeights: (most * 2 ** 20) / size },
  };
  if (values.json) {
    console.log(JSON.stringify(report));
    return;
  }
  for (const { name, seconds, processor, system, faults, readMB } of stages)
    console.log(
      `${name}: ${seconds.toFixed(2)} s, ${processor.toFixed(2)} s of the processor (${system.toFixed(2)} of the ` +
        `system), ${(faults / 1000).toFixed(0)} thousand page faults, ${readMB.toFixed(0)} MB read`,
    );
  console.log(
    `${precision}${values.cold ? ', file not in memory' : ''}: first token after ${first.toFixed(2)} s, ` +
      `${report.timesReading.toFixed(2)} times reading\n` +
      `weights ${report.weightsMB.toFixed(0)} MB, ${before.toFixed(0)} MB before, ${opened.toFixed(0)} MB opened, ` +
      `${most.toFixed(0)} MB at most (${report.timesWeights.toFixed(2)} times)`,
  );
});
