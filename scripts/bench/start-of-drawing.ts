// The time from opening a generator's checkpoint to its first image token, against the time that reading its file of
// weights takes, and the memory that both take.
//
//   node --import tsx scripts/bench/start-of-drawing.ts CHECKPOINT [--precision bfloat16] [--cold] [--json]
//
// The file is read once before, so that both sides find it in memory; with --cold it is put out of it before each.

import { execFileSync } from 'node:child_process';
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readCheckpoint } from '../../src/checkpoint/read.ts';
import { PRECISIONS } from '../../src/engine/graph/precision.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { useCallingThread } from '../../src/engine/session/threads.ts';
import { openPipeline } from '../../src/inference/open-pipeline.ts';
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
  const timed = async <T>(body: () => Promise<T>): Promise<readonly [seconds: number, result: T]> => {
    const start = performance.now();
    const result = await body();
    return [(performance.now() - start) / 1000, result];
  };
  await readThrough(part);
  forget();
  const [reading] = await timed(() => readThrough(part));
  forget();

  useCallingThread();
  const before = megabytes(process.pid, 'VmHWM') ?? 0;
  const started = performance.now();
  const [verifying, checkpoint] = await timed(() =>
    readCheckpoint(path, { kind: 'dalle', warn: console.warn }),
  );
  const runtime = new Runtime();
  const [opening, pipeline] = await timed(() => openPipeline(runtime, checkpoint, precision));
  const opened = megabytes(process.pid, 'VmHWM') ?? 0;
  const prompt = 'a red circle';
  const settings = { temperature: 1, guidance: 1, ...pipeline.generator.defaults };
  const stop = new AbortController();
  const captionTokens = pipeline.encode(prompt, { truncate: true }).tokens;
  let first = 0;
  let second = 0;
  const images = pipeline.generate([{ prompt, captionTokens, seed: 1 }], settings, {
    batch: 1,
    signal: stop.signal,
    onToken: (done) => {
      if (done === 1) first = (performance.now() - started) / 1000;
      if (done === 2) second = (performance.now() - started) / 1000;
      if (done === 2) stop.abort();
    },
  });
  await images.next().catch((error: Error) => {
    if (error.name !== 'AbortError') throw error;
  });
  const most = megabytes(process.pid, 'VmHWM') ?? 0;
  await runtime.close();
  const report = {
    ...{ precision, cold: values.cold, weightsMB: size / 2 ** 20 },
    ...{ reading, verifying, opening, first, second, timesReading: first / reading },
    ...{ beforeMB: before, openedMB: opened, mostMB: most, timesWeights: (most * 2 ** 20) / size },
  };
  if (values.json) console.log(JSON.stringify(report));
  else
    console.log(
      `${precision}${values.cold ? ', file not in memory' : ''}: reading ${reading.toFixed(2)} s, verified after ${verifying.toFixed(2)} s, ` +
        `opened ${opening.toFixed(2)} s later, first token after ${first.toFixed(2)} s (${report.timesReading.toFixed(2)} times), second after ${second.toFixed(2)} s\n` +
        `weights ${report.weightsMB.toFixed(0)} MB, ${before.toFixed(0)} MB before, ${opened.toFixed(0)} MB opened, ` +
        `${most.toFixed(0)} MB at most (${report.timesWeights.toFixed(2)} times)`,
    );
});
