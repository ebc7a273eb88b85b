// The log: pino on stderr, because stdout carries results only.

import pino from 'pino';

export type Logger = pino.Logger;

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Writes one line `level: message key=value …` for each entry. The JSON form for programs is log.jsonl. */
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

/** A logger on stderr that prints entries of `level` and above. */
export function createLogger(level: LogLevel = 'info'): Logger {
  const base = level === 'trace' || level === 'silent' ? level : 'debug';
  const threshold = level === 'silent' ? 'fatal' : level;
  return pino(
    { level: base, base: null },
    pino.multistream([{ level: threshold, stream: new PlainStream() }]),
  );
}

/** Also writes entries of level debug and above to `file`, as JSON lines. @returns a function that stops it */
export function alsoLogTo(log: Logger, file: string): () => void {
  const streams = (
    log as unknown as { [pino.symbols.streamSym]: pino.MultiStreamRes & { readonly lastId: number } }
  )[pino.symbols.streamSym];
  const destination = pino.destination({ dest: file, sync: true, mkdir: true });
  streams.add({ level: 'debug', stream: destination });
  const id = streams.lastId;
  return () => {
    streams.remove(id);
    destination.end();
  };
}
