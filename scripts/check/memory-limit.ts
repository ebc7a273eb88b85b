// A joint Transformer whose training does not fit in the memory that a process may take, by four workers that divide its
// training state (train.sharding: parameters). The limit is RLIMIT_DATA: what four workers take with a narrow model, and
// twelve bytes for each parameter. One process takes twenty (weights, moments, gradients and their sums), and ends with
// the error of too little memory, exit code 3; a worker takes eight at most. Linux, with prlimit.
//
//   npm run build
//   npx tsx scripts/check/memory-limit.ts [--layers 8] [--width 1024]

import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { dumpConfig } from '../../src/config/load.ts';
import { dalleSpec } from '../../src/models/dalle/model.ts';
import { flatten } from '../../src/nn/parameters.ts';
import { EXIT } from '../../src/util/errors.ts';
import { sizeOf } from '../../src/util/shape.ts';
import { writeImages, writeTinyDvae } from '../../test/support/tiny-dvae.ts';
import { dalleConfig, writeTokenizer } from '../../test/support/tiny-runs.ts';

const WORKERS = 4;
const HEADS = 8;
const NARROW = 8 * HEADS;
const BYTES_OF_PARAMETER = 12;
const POLL_MS = 50;

const { values } = parseArgs({
  options: { layers: { type: 'string', default: '8' }, width: { type: 'string', default: '1024' } },
});
const root = mkdtempSync(join(tmpdir(), 'mm-memory-limit-'));
const data = {
  path: join(root, 'images'),
  dvae: join(root, 'dvae'),
  tokenizer: join(root, 'tokenizer.json'),
};
await writeImages(data.path, 8);
await writeTinyDvae(data.dvae);
await writeTokenizer(data.tokenizer, data.path);

/** Writes the configuration; returns its path and the number of parameters. */
function configuration(width: number): { path: string; parameters: number } {
  const train = { steps: 2, batch: WORKERS, logEvery: 1, evaluateEvery: 2, saveEvery: 2, recompute: true };
  const made = dalleConfig(data, 0, { ...train, samples: { count: 0 }, ema: undefined });
  const config = { ...made, model: { ...made.model, width, layers: Number(values.layers), heads: HEADS } };
  const path = join(root, `${width}.yaml`);
  writeFileSync(path, dumpConfig(config));
  const sizes = flatten(dalleSpec(config.model)).map(([, { shape }]) => sizeOf(shape));
  return { path, parameters: sizes.reduce((sum, size) => sum + size, 0) };
}

interface Outcome {
  readonly code: number | null;
  readonly stderr: string;
  /** The most that one of the processes took of what RLIMIT_DATA limits, in bytes. */
  readonly most: number;
}

/** Runs `mm`, itself and what it starts limited. */
async function mm(words: readonly string[], limit?: number): Promise<Outcome> {
  const program = [process.execPath, fileURLToPath(new URL('../../bin/mm.js', import.meta.url)), ...words];
  const [command = '', ...args] = limit === undefined ? program : ['prlimit', `--data=${limit}`, ...program];
  const child = spawn(command, args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    // Freed memory goes back to the system, so that it is not counted.
    env: { ...process.env, MALLOC_MMAP_THRESHOLD_: '65536', MALLOC_ARENA_MAX: '2' },
  });
  let [isOver, most] = [false, 0];
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const said = text(child.stderr);
  void ended.then(() => {
    isOver = true;
  });
  while (!isOver) {
    for (const id of processesOf(child.pid as number)) most = Math.max(most, dataOf(id));
    await Promise.race([setTimeout(POLL_MS), ended]);
  }
  return { code: await ended, stderr: await said, most };
}

/** A process and those that it has started. */
function processesOf(parent: number): number[] {
  const isChild = (id: string): boolean => {
    try {
      return new RegExp(`^PPid:\\t${parent}$`, 'm').test(readFileSync(`/proc/${id}/status`, 'utf8'));
    } catch {
      return false; // ended meanwhile
    }
  };
  return [
    parent,
    ...readdirSync('/proc')
      .filter((id) => /^\d+$/.test(id) && isChild(id))
      .map(Number),
  ];
}

function dataOf(id: number): number {
  try {
    const [, kilobytes = 0] = /^VmData:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${id}/status`, 'utf8')) ?? [];
    return 1024 * Number(kilobytes);
  } catch {
    return 0;
  }
}

const train = (config: string, run: string): string[] => [
  ...['train-dalle', '--config', config, '--run', join(root, run)],
];
const divided = (config: string, run: string): string[] => [
  ...['launch', '--workers', String(WORKERS), '--', ...train(config, run)],
  ...['--set', 'train.sharding=parameters'],
];

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;
let isGood = true;
function expect(what: string, { code, stderr, most }: Outcome, wanted: number, says: RegExp): void {
  const holds = code === wanted && says.test(stderr);
  isGood &&= holds;
  const error = /^error: .*/m.exec(stderr)?.[0] ?? '';
  console.log(
    `${what}: exit code ${code}, at most ${megabytes(most)}  ${error}${holds ? '' : '  UNEXPECTED'}`,
  );
  if (!holds) console.log(stderr);
}

const narrow = configuration(NARROW);
const wide = configuration(Number(values.width));
const before = await mm(divided(narrow.path, 'narrow'));
expect('four workers, a narrow model, no limit', before, EXIT.ok, /./);
const limit = before.most + BYTES_OF_PARAMETER * (wide.parameters - narrow.parameters);
console.log(`${(wide.parameters / 1e6).toFixed(0)} million parameters; limit ${megabytes(limit)} a process`);
const accumulated = [...train(wide.path, 'alone'), '--set', `train.accumulateSteps=${WORKERS}`];
expect('one process', await mm(accumulated, limit), EXIT.data, /E_OUT_OF_MEMORY/);
expect('four workers', await mm(divided(wide.path, 'divided'), limit), EXIT.ok, /./);
rmSync(root, { recursive: true });
process.exit(isGood ? 0 : 1);
