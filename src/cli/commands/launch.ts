// mm launch: several workers on this machine, started again from the last checkpoint when one is lost.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { counted } from '../../util/counted.ts';
import { DataError, type ErrorCode, EXIT, UsageError } from '../../util/errors.ts';
import { assertWholeNumber } from '../../util/whole-number.ts';
import { type Context, defineCommand } from '../command.ts';
import { withExamples } from '../help.ts';
import { wholeNumber } from '../whole-number.ts';
import { MAX_WORKERS } from '../workers.ts';

interface Flags {
  readonly workers: number;
  readonly restarts: number;
  readonly 'min-workers': number | undefined;
}

const TRAINERS = ['train-dvae', 'train-clip', 'train-dalle'] as const;
const MAX_RESTARTS = 1000;
/** Flags that mm launch gives to each worker. */
const GIVEN = /^--(workers|rank|join|workers-from)(=|$)/;
/** Errors after which the other workers can go on. */
const LOST: readonly string[] = ['E_WORKER_LOST', 'E_WORKER_MISSING'];

export const command = defineCommand<Flags>({
  flags: (yargs) =>
    withExamples(
      yargs
        .option('workers', {
          ...wholeNumber('workers', { max: MAX_WORKERS }),
          demandOption: true,
          describe: 'processes that share each batch',
        })
        .option('restarts', {
          ...wholeNumber('restarts', { min: 0, max: MAX_RESTARTS }),
          default: 0,
          describe: 'how often all are started again from the last checkpoint when one is lost',
        })
        .option('min-workers', {
          ...wholeNumber('minWorkers', { max: MAX_WORKERS }),
          defaultDescription: 'as many as before',
          describe: 'each restart has one worker less, down to so many',
        }),
      [
        [
          'two processes, started again up to three times',
          'launch --workers 2 --restarts 3 -- train-dalle --config configs/dalle/small.yaml --tokens tokens',
        ],
        [
          'eight GPUs, four for each process',
          'launch --workers 2 -- train-clip --config configs/clip/vit-b-32.yaml --data photos --devices all',
        ],
      ],
    ),

  async run(flags, context) {
    const { rest: words } = context;
    assertLaunchable(words);
    const minWorkers = flags['min-workers'] ?? flags.workers;
    assertWholeNumber('minWorkers', minWorkers, { min: 1, max: flags.workers }, 'leave it out');
    await launch({ ...flags, minWorkers, words }, context);
  },
});

function assertLaunchable(words: readonly string[]): void {
  const [name] = words;
  if (!TRAINERS.some((trainer) => trainer === name))
    throw new UsageError(
      name === undefined ? 'the command to launch is missing' : `${name} cannot be launched`,
      {
        code: 'E_LAUNCH',
        where: words.join(' '),
        fix: `give one of ${TRAINERS.join(', ')} after --, with its flags`,
      },
    );
  const given = words.find((word) => GIVEN.test(word));
  if (given !== undefined)
    throw new UsageError(`mm launch gives ${given} to each process`, {
      code: 'E_WORKER_FLAGS',
      where: given,
      fix: 'leave it out after --, and give --workers before it',
    });
}

interface Launch {
  readonly workers: number;
  readonly minWorkers: number;
  readonly restarts: number;
  readonly words: readonly string[];
}

async function launch(
  { workers: count, minWorkers, restarts, words }: Launch,
  { log, signal }: Context,
): Promise<void> {
  const { runWorkers } = await import('../launch/processes.ts');
  let workers = count;
  for (let attempt = 0; ; ) {
    const resume = attempt > 0 && !words.includes('--resume') && existsSync(configOf(words));
    const ends = await runWorkers({ workers, words: resume ? [...words, '--resume'] : words, signal });
    const failed = ends.filter(({ code }) => code !== EXIT.ok);
    if (failed.length === 0) return;
    const isLost = failed.every(mayBeOfLoss) && failed.some(tellsOfLoss);
    const isIndivisible =
      attempt > 0 &&
      workers > minWorkers &&
      failed.some(({ report }) => report?.code === 'E_BATCH_NOT_DIVISIBLE');
    if (signal.aborted || (!isIndivisible && (!isLost || attempt >= restarts))) return endAs(failed);
    if (workers > minWorkers) workers--;
    if (isIndivisible) {
      log.warn(`the batch has no equal parts for so many workers; trying ${workers}`);
      continue;
    }
    attempt++;
    log.warn(
      `${lossOf(failed)}; restart ${attempt} of ${restarts} from the last checkpoint, with ${counted(workers, 'worker')}`,
    );
  }
}

type End = Awaited<ReturnType<typeof import('../launch/processes.ts').runWorkers>>[number];

/** Whether a worker ended as one does when another is lost: a loss, not a mistake that comes again. */
const mayBeOfLoss = ({ code, report }: End): boolean =>
  (code === null || code === EXIT.data) && (report === undefined || LOST.includes(report.code));

const tellsOfLoss = ({ signal, report }: End): boolean =>
  signal !== null || LOST.includes(report?.code ?? '');

type Ends = readonly End[];

/** What is known of the loss, in words. */
function lossOf(failed: Ends): string {
  const ended = failed.find(({ signal, isKilled }) => signal !== null && !isKilled);
  if (ended) return `worker ${ended.rank} was ended by ${ended.signal}`;
  const report = failed.find((end) => LOST.includes(end.report?.code ?? ''))?.report;
  if (report) return report.message;
  const hung = failed.find(({ isKilled }) => isKilled);
  return hung ? `worker ${hung.rank} did not end with the others` : 'a worker was lost';
}

/** Ends with the message and exit code of the failure; worker 0 has printed its own. */
function endAs(failed: Ends): void {
  const [first] = failed;
  if (first?.rank === 0 && first.code !== null) {
    process.exitCode = first.code;
    return;
  }
  const report = failed.find((end) => end.report)?.report;
  throw new DataError(report?.message ?? lossOf(failed), {
    code: (report?.code ?? 'E_WORKER_LOST') as ErrorCode,
    ...(report?.where !== undefined && { where: report.where }),
    fix: report?.fix ?? 'start it again with --resume after the command',
  });
}

/** The configuration of the run folder that the words name. */
function configOf(words: readonly string[]): string {
  const at = words.findIndex((word) => /^--run(=|$)/.test(word));
  const given = at < 0 ? undefined : words[at]?.startsWith('--run=') ? words[at].slice(6) : words[at + 1];
  return join(given ?? `runs/${words[0]?.replace('train-', '')}`, 'config.yaml');
}
