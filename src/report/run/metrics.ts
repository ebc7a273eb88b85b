// metrics.jsonl: one object per line, `{"step":10,"loss":1.25}`. Values that are not finite, which JSON cannot write,
// are the strings "NaN", "Infinity" and "-Infinity", so that a curve shows where it broke. Times are not written unless
// the caller logs them: the same seed writes the same bytes.

import { appendFileSync, closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { upgradeMetrics } from '../../checkpoint/upgrade.ts';
import { DataError } from '../../util/errors.ts';
import { storageError, writeFileAtomic } from '../../util/files.ts';

export const METRICS_FILE = 'metrics.jsonl';

export interface MetricsLine {
  readonly step: number;
  readonly values: Readonly<Record<string, number>>;
}

/** Appends lines. Each is handed to the system before `append` returns, so `kill -9` loses at most one line. */
export class MetricsWriter {
  readonly #path: string;
  readonly #file: number;

  constructor(path: string) {
    this.#path = path;
    try {
      this.#file = openSync(path, 'a');
    } catch (error) {
      throw storageError(error, path);
    }
  }

  append(line: MetricsLine): void {
    try {
      appendFileSync(this.#file, formatLine(line));
    } catch (error) {
      throw storageError(error, this.#path);
    }
  }

  close(): void {
    closeSync(this.#file);
  }
}

/**
 * Reads a metrics file; a missing file has no lines. A last line without a newline, as a killed run leaves it, is
 * ignored. Metrics of format 1 get the names of this one.
 * @throws DataError at the line, when another line is not a metrics line
 */
export async function readMetrics(path: string): Promise<MetricsLine[]> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw new DataError('the metrics cannot be read', {
      code: 'E_UNREADABLE',
      where: path,
      fix: 'check the file and its permissions',
      cause: error,
    });
  });
  const lines = text.split('\n').slice(0, -1);
  return lines.map((line, index) => parseLine(line, `${path}:${index + 1}`));
}

/** Keeps the lines up to `step` and drops the others, including a half-written one. */
export async function truncateMetrics(path: string, step: number): Promise<void> {
  const kept = (await readMetrics(path)).filter((line) => line.step <= step);
  await writeFileAtomic(path, kept.map(formatLine).join(''));
}

function formatLine({ step, values }: MetricsLine): string {
  const entries = Object.entries(values).map(([name, value]) => [
    name,
    Number.isFinite(value) ? value : String(value),
  ]);
  return `${JSON.stringify({ step, ...Object.fromEntries(entries) })}\n`;
}

function parseLine(line: string, where: string): MetricsLine {
  try {
    const { step, ...values } = JSON.parse(line) as Record<string, unknown>;
    if (!Number.isSafeInteger(step)) throw new TypeError('no step');
    return {
      step: step as number,
      values: upgradeMetrics(
        Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Number(value)])),
      ),
    };
  } catch (error) {
    throw new DataError('not a line of metrics', {
      code: 'E_METRICS_LINE',
      where,
      fix: 'delete the line; only the curves depend on it',
      cause: error,
    });
  }
}
