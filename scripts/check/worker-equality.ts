// Every trainer by several workers, and on several devices of one process, against one process with gradient accumulation:
// weights, EMA, moments and metrics after 20 updates, with each division of the training state. With
// `train.allReduce: order` they have to be equal in every byte, with `ring` to 1e-5 of their norm (there with an ε of 1,
// so that Adam does not make whole updates of what is 0 but for rounding). "resumed" rows make the first half of the
// updates so, and the others in one process with accumulation. The workers share a process, and are connected by
// TensorFlow's servers.
//
//   npx tsx scripts/check/worker-equality.ts [--trainers dvae,clip,dalle] [--layouts "2 workers,…,4 devices"]
//       [--shardings none,optimizer,gradients,parameters] [--precision float32]

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readCheckpoint } from '../../src/checkpoint/read.ts';
import { SHARDINGS } from '../../src/config/fields.ts';
import type { ModelKind } from '../../src/config/kind.ts';
import { InterruptedError } from '../../src/util/errors.ts';
import { runWorkers } from '../../test/support/cluster.ts';
import * as tiny from '../../test/support/tiny-runs.ts';

const LAYOUTS = ['4 workers', '4 devices', '3 workers', '2 workers', '2 devices'] as const;
const TRAINERS = ['dvae', 'clip', 'dalle'] as const;
type Trainer = (typeof TRAINERS)[number];
const STEPS = 20;
/** Divisible by every number of parts. */
const BATCH = 12;
/** Of the norm. */
const NEAR = 1e-5;
const PARTS = ['model', 'ema', 'optimizer'] as const;

const { values } = parseArgs({
  options: {
    trainers: { type: 'string', default: TRAINERS.join() },
    layouts: { type: 'string', default: LAYOUTS.join() },
    shardings: { type: 'string', default: SHARDINGS.join() },
    precision: { type: 'string', default: 'float32' },
    /** One trainer and layout, in the process of it. */
    within: { type: 'boolean', default: false },
  },
});

type Session = tiny.TrainSession;

const root = mkdtempSync(join(tmpdir(), 'mm-worker-equality-'));
const at = (run: string): string => join(root, run);
const data = { path: at('images'), dvae: at('dvae'), tokenizer: at('tokenizer.json') };
const schedule = { steps: STEPS, batch: BATCH, logEvery: 1, evaluateEvery: STEPS, saveEvery: STEPS };
const isFloat16 = values.precision === 'float16';

/**
 * Updates follow the gradients: that of the keys' biases is 0 but for rounding, which a small ε counts. A CLIP has no
 * batch norm then: over three images, that makes 3 % of a last bit in 20 updates (docs/LOG.md). A dVAE revives no codes:
 * which of two codes that are nearly as likely counts as used, a last bit decides.
 */
const SMOOTH = { optimizer: { learningRate: { peak: 0.5 }, weightDecay: 0.01, epsilon: 1 } };

/** A run of the trainer in which every source of randomness and kind of state is in use. */
function session(trainer: string, train: object): Session {
  const common = { ...schedule, precision: values.precision, ...train };
  const scale = isFloat16 && { lossScale: { start: 2 ** 24, growEvery: 2 } };
  if (trainer === 'dvae') {
    const codebook = 'optimizer' in train ? {} : { revive: { every: 2 } };
    return tiny.dvaeSession(tiny.dvaeConfig(data.path, 0, { ...common, ...scale, codebook }));
  }
  if (trainer === 'clip') {
    const resnet = { image: { tower: 'resnet', size: 32, width: 2, blocks: [1, 1, 1, 1] } };
    const model = 'optimizer' in train ? {} : resnet;
    const { path, tokenizer } = data;
    return tiny.clipSession(tiny.clipConfig({ path, tokenizer }, { train: { ...common, ...scale }, model }));
  }
  return tiny.dalleSession(
    tiny.dalleConfig(data, 1, {
      ...common,
      samples: { count: 0 },
      ...(isFloat16 && { blockLossScale: { start: 2 ** 24 } }),
      recompute: 'full',
      dropout: { attention: 0.1, feedForward: 0.1 },
      freeze: ['blocks.block_1.attention'],
    }),
  );
}

/** What makes one process compute what `count` devices do. */
const parts = (trainer: string, count: number): object =>
  trainer === 'clip' ? { gradCacheChunk: BATCH / count } : { accumulateSteps: count };
/** CLIP caches gradients on several devices too: otherwise each takes its share at once. */
const shares = (trainer: string, count: number): object =>
  trainer === 'clip' ? { gradCacheChunk: BATCH / count } : {};

/** Makes the run by the workers or devices of the layout. */
async function together(session: Session, run: string, layout: string, options: tiny.SessionOptions = {}) {
  const count = Number(layout[0]);
  if (layout.endsWith('devices')) {
    const devices = Array.from({ length: count }, (_, i) => `cpu:${i}`).join();
    return void (await session(at(run), { ...options, devices }));
  }
  const outcomes = await runWorkers(count, (cluster) =>
    session(at(cluster.isPrimary ? run : 'nowhere'), { ...options, cluster }),
  );
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
}

/** What a run leaves but its configuration, which has the number of parts and the division. */
const made = (run: string): Record<string, string> => ({
  ...Object.fromEntries(
    Object.entries(tiny.lasting(at(run))).filter(
      ([name]) => !/(config\.yaml|state\.json)$/.test(name) && !/step-(?!20\b)/.test(name),
    ),
  ),
  state: JSON.stringify({
    ...JSON.parse(readFileSync(join(at(run), `checkpoints/step-${STEPS}/state.json`), 'utf8')),
    files: undefined,
  }),
});

function differing(run: string, reference: string): string[] {
  const [a, b] = [made(run), made(reference)];
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((name) => a[name] !== b[name]);
}

/** The largest distance of weights, EMA and moments, of their norm; and of a loss, of the largest one. */
async function distance(kind: ModelKind, run: string, reference: string) {
  let apart = 0;
  for (const part of PARTS) {
    const [left, right] = await Promise.all(
      [run, reference].map(async (path) =>
        (await readCheckpoint(at(path), { kind, optimizer: true, warn: () => {} })).read(part),
      ),
    );
    let [difference, norm] = [0, 0];
    for (const [name, { data: ours }] of left ?? []) {
      const theirs = right?.get(name)?.data as Float32Array;
      for (const [i, value] of (ours as Float32Array).entries()) {
        difference += (value - (theirs[i] as number)) ** 2;
        norm += value ** 2;
      }
    }
    apart = Math.max(apart, Math.sqrt(difference / norm));
  }
  const losses = (path: string): number[] =>
    readFileSync(join(at(path), 'metrics.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { loss?: number }).loss ?? 0);
  const [ours, theirs] = [losses(run), losses(reference)];
  const largest = Math.max(...theirs.map(Math.abs));
  return {
    apart,
    ofLoss: Math.max(...ours.map((loss, i) => Math.abs(loss - (theirs[i] as number)))) / largest,
  };
}

let bad = 0;
function say(row: readonly string[], result: string, isGood: boolean): void {
  if (!isGood) bad++;
  console.log([...row, isGood ? result : `DIFFERS: ${result}`].join(' | '));
}

/** Compares the runs of layouts with as many devices or workers. */
async function compare(trainer: Trainer, layouts: readonly string[]): Promise<void> {
  await tiny.writeDalleData(root, 18);
  const count = Number(layouts[0]?.[0]);
  await session(trainer, parts(trainer, count))(at('alone'));
  await session(trainer, { ...parts(trainer, count), ...SMOOTH })(at('alone, smooth'));
  const shardings = values.shardings.split(',').filter((of) => of !== 'parameters' || trainer === 'dalle');
  for (const layout of layouts) {
    for (const sharding of shardings) {
      const train = { ...shares(trainer, count), sharding };
      await together(session(trainer, train), 'order', layout);
      sayBits(trainer, layout, sharding, 'order');
      await together(session(trainer, { ...train, allReduce: 'ring', ...SMOOTH }), 'ring', layout);
      const { apart, ofLoss } = await distance(trainer, 'ring', 'alone, smooth');
      const result = `${apart.toExponential(1)} of the norm, ${ofLoss.toExponential(1)} of the loss`;
      say([trainer, layout, sharding, 'ring'], result, apart < NEAR && ofLoss < NEAR);
      rmSync(at('ring'), { recursive: true });
    }
    const sharding = shardings.at(-1) as string;
    const stop = { label: `train-${trainer}`, at: STEPS / 2 };
    const half = together(session(trainer, { ...shares(trainer, count), sharding }), 'resumed', layout, {
      stop,
    });
    await half.catch((error) => {
      if (!(error instanceof InterruptedError)) throw error;
    });
    await session(trainer, parts(trainer, count))(at('resumed'), { resume: true });
    sayBits(trainer, layout, sharding, 'resumed');
  }
}

function sayBits(trainer: Trainer, layout: string, sharding: string, run: 'order' | 'resumed'): void {
  const files = differing(run, 'alone');
  say([trainer, layout, sharding, run], files.join(', ') || 'equal', files.length === 0);
  rmSync(at(run), { recursive: true });
}

const [trainers = [], layouts = []] = [values.trainers, values.layouts].map((list) => list.split(','));
if (values.within) await compare(trainers[0] as Trainer, layouts);
else {
  console.log(`${STEPS} updates, ${values.precision}`);
  console.log('trainer | by | train.sharding | sums | against one process with accumulation');
  for (const count of new Set(layouts.map((layout) => layout[0] as string)))
    for (const trainer of trainers) {
      // A process each: TensorFlow's servers end with theirs.
      const own = ['--within', '--trainers', trainer];
      const alike = ['--layouts', layouts.filter((layout) => layout.startsWith(count)).join()];
      const others = ['--shardings', values.shardings, '--precision', values.precision];
      const script = [...process.execArgv, import.meta.filename, ...own, ...alike, ...others];
      const [code] = await once(spawn(process.execPath, script, { stdio: 'inherit' }), 'exit');
      if (code !== 0) bad++;
    }
  console.log(bad === 0 ? 'all are as they must be' : `${bad} of the trainers and layouts differ`);
}
rmSync(root, { recursive: true, force: true });
process.exit(bad > 0 ? 1 : 0);
