// What a run folder says about its run: read only, and from a run that is still going on too.

import { readdir, readFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { parse } from 'yaml';
import { DataError } from '../../util/errors.ts';
import { type MetricsLine, readMetrics } from './metrics.ts';

export interface Sample {
  readonly step: number;
  /** Of several images of a step. */
  readonly name: string | undefined;
  readonly png: Uint8Array;
}

/** A stretch of a run without an interruption. */
export interface RunSession {
  readonly from: number;
  readonly to: number;
  readonly began: Date;
  /** Between the first and the last validation. */
  readonly seconds: number;
}

export interface RunHistory {
  readonly name: string;
  readonly kind: 'dvae' | 'dalle' | 'clip';
  /** config.yaml as it is. */
  readonly config: string;
  /** Steps of the whole run. */
  readonly steps: number | undefined;
  readonly metrics: readonly MetricsLine[];
  readonly samples: readonly Sample[];
  /** Steps with a checkpoint. */
  readonly checkpoints: readonly number[];
  readonly sessions: readonly RunSession[];
  /** Warnings and errors of the log. */
  readonly warnings: readonly string[];
}

/** Images on a page, the first and the last among them. */
const MAX_SAMPLES = 16;

/**
 * Reads the run in a folder.
 * @throws DataError when there is none, or a file of it is damaged
 */
export async function readRun(path: string): Promise<RunHistory> {
  const file = join(path, 'config.yaml');
  const config = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new DataError('there is no run here', {
      where: path,
      fix: 'name the folder that a training command was given as --run: it has a config.yaml',
      cause,
    });
  });
  const entries = await readLog(join(path, 'log.jsonl'));
  return {
    name: basename(resolve(path)),
    config,
    ...shapeOf(config, file),
    metrics: await readMetrics(join(path, 'metrics.jsonl')),
    samples: await readSamples(join(path, 'samples')),
    checkpoints: (await names(join(path, 'checkpoints')))
      .flatMap((name) => /^step-(\d+)$/.exec(name)?.slice(1).map(Number) ?? [])
      .sort((a, b) => a - b),
    sessions: sessionsOf(entries),
    warnings: entries.flatMap(({ level, msg }) => (level >= 40 && msg ? [msg] : [])),
  };
}

function shapeOf(config: string, where: string): Pick<RunHistory, 'kind' | 'steps'> {
  try {
    const { data, train } = parse(config) as {
      data: Record<string, unknown>;
      train?: { steps?: number };
    };
    const kind = 'dvae' in data ? 'dalle' : 'tokenizer' in data ? 'clip' : 'dvae';
    return { kind, steps: train?.steps };
  } catch (cause) {
    throw new DataError("not a run's configuration", {
      where,
      fix: 'name the folder that a training command was given as --run',
      cause,
    });
  }
}

const names = (folder: string): Promise<string[]> => readdir(folder).catch(() => []);

async function readSamples(folder: string): Promise<Sample[]> {
  const found = (await names(folder))
    .flatMap((file) => {
      const [whole, step, name] = /^step-(\d+)(?:-(.+))?\.png$/.exec(file) ?? [];
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
  readonly step?: number;
  readonly msg?: string;
}

/** The log's entries; lines that a killed run left half-written are passed over. */
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

function sessionsOf(entries: readonly LogEntry[]): RunSession[] {
  const sessions: LogEntry[][] = [[]];
  for (const entry of entries) {
    if (/^(going on from step|no checkpoint to go on from)/.test(entry.msg ?? '')) sessions.push([]);
    if (entry.msg === 'validation' && entry.step !== undefined) sessions.at(-1)?.push(entry);
  }
  return sessions.flatMap((validations) => {
    const [first, last] = [validations[0], validations.at(-1)];
    if (!first || !last) return [];
    const { time: began, step: from = 0 } = first;
    return [{ from, to: last.step ?? 0, began: new Date(began), seconds: (last.time - began) / 1000 }];
  });
}
