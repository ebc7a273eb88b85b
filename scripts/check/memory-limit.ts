// A joint Transformer whose training does not fit in the memory that a process may take, by four workers that divide its
// training state (train.sharding: parameters). Each process has a separate memory cgroup, whose limit is what a worker
// takes with a narrow model, and as many bytes for each parameter as BYTES_OF_PARAMETER says: of 20 that one process
// holds (weights, moments, gradients and their sums), and 9 that worker 0 does while it evaluates (a quarter of 20, and
// the weights). One process has to be ended by the system or by E_OUT_OF_MEMORY; the workers have to train, evaluate,
// save and resume, and to leave the files of a run without a limit. Linux, as a user that may make cgroups.
//
//   npm run build
//   npx tsx scripts/check/memory-limit.ts [--layers 8] [--width 768]

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { dumpConfig } from '../../src/config/load.ts';
import { dalleSpec } from '../../src/models/dalle/model.ts';
import { flatten } from '../../src/nn/parameters.ts';
import { EXIT } from '../../src/util/errors.ts';
import { sizeOf } from '../../src/util/shape.ts';
import { dalleConfig, lasting, writeDalleData } from '../../test/support/tiny-runs.ts';
import { freePort } from './free-port.ts';
import { type Ended, Limited } from './memory-limit/limited.ts';

const WORKERS = 4;
const HEADS = 8;
const NARROW = 8 * HEADS;
const BYTES_OF_PARAMETER = 12;
const STEPS = 4;
const SAVE_EVERY = 2;
const MEGABYTE = 1e6;

const { values } = parseArgs({
  options: { layers: { type: 'string', default: '8' }, width: { type: 'string', default: '768' } },
});
const root = mkdtempSync(join(tmpdir(), 'mm-memory-limit-'));
const data = await writeDalleData(root, 8);
const limited = new Limited();

/** Writes the configuration; returns its path and the number of parameters. */
function configuration(width: number): { path: string; parameters: number } {
  const train = {
    steps: STEPS,
    batch: WORKERS,
    logEvery: 1,
    evaluateEvery: SAVE_EVERY,
    saveEvery: SAVE_EVERY,
    recompute: 'full',
  };
  const made = dalleConfig(data, 0, { ...train, samples: { count: 0 }, ema: undefined });
  const config = { ...made, model: { ...made.model, width, layers: Number(values.layers), heads: HEADS } };
  const path = join(root, `${width}.yaml`);
  writeFileSync(path, dumpConfig(config));
  const sizes = flatten(dalleSpec(config.model)).map(([, { shape }]) => sizeOf(shape));
  return { path, parameters: sizes.reduce((sum, size) => sum + size, 0) };
}

const train = (config: string, run: string, ...flags: readonly string[]): string[] => [
  ...['train-dalle', '--config', config, '--run', join(root, run), ...flags],
];

/** The ends of all workers, worker 0's first. */
async function workers(config: string, run: string, limit: number | undefined, ...flags: readonly string[]) {
  const address = `127.0.0.1:${await freePort()}`;
  const own = ['--set', 'train.sharding=parameters', '--workers', String(WORKERS), '--join', address];
  return Promise.all(
    Array.from({ length: WORKERS }, (_, rank) =>
      limited.mm([...train(config, run, ...own, ...flags), '--rank', String(rank)], limit),
    ),
  );
}

let isGood = true;
function report(what: string, ended: readonly Ended[], isExpected: (of: Ended) => boolean): void {
  const most = ended.map((of) => `${(of.mostBytes / MEGABYTE).toFixed(0)}`).join(', ');
  const ends = ended.map(({ code, signal }) => signal ?? `exit code ${code}`);
  const holds = ended.every(isExpected);
  isGood &&= holds;
  console.log(`${what} | ${most} | ${[...new Set(ends)].join(', ')}${holds ? '' : ' | UNEXPECTED'}`);
  if (!holds) console.log(ended.map(({ stderr }) => stderr).join('\n'));
}

const isOver = ({ code }: Ended): boolean => code === EXIT.ok;
const hasNoMemory = ({ signal, code, stderr }: Ended): boolean =>
  signal === 'SIGKILL' || (code === EXIT.data && stderr.includes('E_OUT_OF_MEMORY'));
/** What a run leaves but its configuration, which has the number of parts and the division. */
const made = (run: string): string =>
  JSON.stringify(
    Object.entries(lasting(join(root, run))).filter(([name]) => !/(config\.yaml|state\.json)$/.test(name)),
  );

try {
  const [narrow, wide] = [configuration(NARROW), configuration(Number(values.width))];
  console.log('run | most of each process, without files, MB | end');
  const before = await workers(narrow.path, 'narrow', undefined);
  report(`${WORKERS} workers, a narrow model`, before, isOver);
  const base = Math.max(...before.map(({ mostBytes }) => mostBytes));
  const limit = base + BYTES_OF_PARAMETER * (wide.parameters - narrow.parameters);
  const alone = (run: string, of?: number) =>
    limited.mm(train(wide.path, run, '--set', `train.accumulateSteps=${WORKERS}`), of);
  report('one process', [await alone('alone')], isOver);
  const millions = (wide.parameters / 1e6).toFixed(0);
  console.log(`${millions} million parameters: limit ${(limit / MEGABYTE).toFixed(0)} MB`);
  report('one process, limited', [await alone('never', limit)], hasNoMemory);
  report(`${WORKERS} workers, limited`, await workers(wide.path, 'divided', limit), isOver);
  const isSame = made('divided') === made('alone');
  rmSync(join(root, 'divided/checkpoints', `step-${STEPS}`), { recursive: true });
  report('the same, resumed', await workers(wide.path, 'divided', limit, '--resume'), isOver);
  const isSameAgain = made('divided') === made('alone');
  isGood &&= isSame && isSameAgain;
  console.log(`files as those of one process: ${isSame}; resumed: ${isSameAgain}`);
} finally {
  limited.close();
  rmSync(root, { recursive: true });
}
process.exit(isGood ? 0 : 1);
