// The program's log: pino, on stderr, so that stdout carries results only.

import pino from 'pino';

export type Logger = pino.Logger;

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Writes `level message key=value …`, one line an entry; people read it, `log.jsonl` is for programs. */
class PlainStream {
  write(line: string): void {
    const {
      level,
      msg,
      time: _time,
      ...fields
    } = JSON.parse(line) as Record<string, unknown> & { level: number; msg?: string };
    const extra = Object.entries(fields).map(
      ([key, value]) => ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
    );
    const label = level >= 50 ? 'error: ' : level >= 40 ? 'warning: ' : '';
    process.stderr.write(`${label}${msg ?? ''}${extra.join('')}\n`);
  }
}

/** A logger on stderr; with `file`, every entry (debug and up) also goes there as JSON lines. */
export function createLogger(level: LogLevel = 'info', file?: string): Logger {
  const streams: pino.StreamEntry[] = [
    { level: level === 'silent' ? 'fatal' : level, stream: new PlainStream() },
  ];
  if (file !== undefined)
    streams.push({ level: 'debug', stream: pino.destination({ dest: file, sync: true, mkdir: true }) });
  const base = level === 'trace' ? 'trace' : 'debug';
  return pino(
    { level: level === 'silent' && file === undefined ? 'silent' : base, base: null },
    pino.multistream(streams),
  );
}
