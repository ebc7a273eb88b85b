// A run folder read back, from a run in progress too; nothing is written.

import { readdir, readFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { RunCheckpoints } from '../../checkpoint/run-checkpoints.ts';
import { isMap, type ModelKind } from '../../config/kind.ts';
import { DataError } from '../../util/errors.ts';
import { readRunConfig } from './config.ts';
import { LOG_FILE, SAMPLE_FILE, SAMPLES_FOLDER } from './folder.ts';
import { METRICS_FILE, type MetricsLine, readMetrics } from './metrics.ts';

export interface RunSample {
  readonly step: number;
  /** Tells several images of a step apart. */
  readonly name: string | undefined;
  readonly png: Uint8Array;
}

/** Part of a run between two interruptions. */
export interface RunSession {
  readonly from: number;
  readonly to: number;
  readonly began: Date;
  /** Between the first and the last validation. */
  readonly seconds: number;
}

export interface RunHistory {
  readonly name: string;
  readonly kind: ModelKind;
  /** The text of config.yaml. */
  readonly config: string;
  /** Steps of the whole run. */
  readonly steps: number | undefined;
  readonly metrics: readonly MetricsLine[];
  readonly samples: readonly RunSample[];
  /** Steps with a checkpoint, ascending. */
  readonly checkpoints: readonly number[];
  readonly sessions: readonly RunSession[];
  /** Warnings and errors of the log. */
  readonly warnings: readonly string[];
}

/** Images on a page, including the first and the last. */
const MAX_SAMPLES = 16;
/** pino's number for warnings. */
const WARNING_LEVEL = 40;

/**
 * Reads the run in a folder.
 * @throws DataError when there is none, or a file of it is damaged
 */
export async function readRun(path: string): Promise<RunHistory> {
  const config = await readRunConfig(path);
  if (!config) {
    throw new DataError('there is no run in the folder', {
      code: 'E_NO_RUN',
      where: path,
      fix: 'name the run folder of a training command: it has a config.yaml',
    });
  }
  const { train } = config.tree;
  const steps = isMap(train) ? train.steps : undefined;
  const entries = await readLog(join(path, LOG_FILE));
  return {
    name: basename(resolve(path)),
    kind: config.kind,
    config: config.text,
    steps: typeof steps === 'number' ? steps : undefined,
    metrics: await readMetrics(join(path, METRICS_FILE)),
    samples: await readSamples(join(path, SAMPLES_FOLDER)),
    checkpoints: await new RunCheckpoints(path).steps(),
    sessions: sessionsOf(entries),
    warnings: entries.flatMap(({ level, msg }) => (level >= WARNING_LEVEL && msg ? [msg] : [])),
  };
}

async function readSamples(folder: string): Promise<RunSample[]> {
  const found = (await readdir(folder).catch(() => []))
    .flatMap((file) => {
      const [whole, step, name] = SAMPLE_FILE.exec(file) ?? [];
      return whole === undefined ? [] : [{ file, step: Number(step), name }];
    })
    .sort((a, b) => a.step - b.step);
  const count = Math.min(MAX_SAMPLES, found.length);
  const kept = Array.from(
    { length: count },
    (_, i) => found[Math.round((i * (found.length - 1)) / Math.max(1, count - 1))] as (typeof found)[0],
  );
  return Promise.all(
    kept.map(async ({ file, step, name }) => ({ step, name, png: await readFile(join(folder, file)) })),
  );
}

interface LogEntry {
  readonly level: number;
  readonly time: number;
  /** `session` at the start of each session of the run, `validation` at each validation. */
  readonly event?: string;
  readonly step?: number;
  readonly msg?: string;
}

/** The log's entries; lines that a killed run left half-written are ignored. */
async function readLog(path: string): Promise<LogEntry[]> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.split('\n').flatMap((line) => {
    try {
      const entry = JSON.parse(line) as Partial<LogEntry>;
      return typeof entry.level === 'number' && typeof entry.time === 'number' ? [entry as LogEntry] : [];
    } catch {
      return [];
    }
  });
}

/** Logs of format 1 have messages instead of events: `validation`, and one of these at each resumed session's start. */
const FORMAT_1_SESSION = /^(going on from step|no checkpoint to go on from)/;

const eventOf = ({ event, msg = '' }: LogEntry): string | undefined =>
  event ?? (FORMAT_1_SESSION.test(msg) ? 'session' : msg === 'validation' ? msg : undefined);

function sessionsOf(entries: readonly LogEntry[]): RunSession[] {
  const sessions: LogEntry[][] = [[]];
  for (const entry of entries) {
    const event = eventOf(entry);
    if (event === 'session') sessions.push([]);
    if (event === 'validation' && entry.step !== undefined) sessions.at(-1)?.push(entry);
  }
  return sessions.flatMap((validations) => {
    const [first, last] = [validations[0], validations.at(-1)];
    if (!first || !last) return [];
    const { time: began, step: from = 0 } = first;
    return [{ from, to: last.step ?? 0, began: new Date(began), seconds: (last.time - began) / 1000 }];
  });
}
