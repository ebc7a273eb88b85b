// Runs the program of a test in a separate process.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { programFile, TYPESCRIPT } from '../support/typescript.ts';

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** `program` is the URL of a TypeScript file. */
export function startProgram(program: URL, ...parameters: string[]): ChildProcess {
  const command = [...TYPESCRIPT, '--expose-gc', programFile(program), ...parameters];
  return spawn(process.execPath, command, { stdio: ['ignore', 'pipe', 'pipe'] });
}

export async function ended(child: ChildProcess): Promise<Ended> {
  const [[code, signal], stdout, stderr] = await Promise.all([
    once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>,
    text(child.stdout!),
    text(child.stderr!),
  ]);
  return { code, signal, stdout, stderr };
}

export const runProgram = (program: URL, ...parameters: string[]): Promise<Ended> =>
  ended(startProgram(program, ...parameters));
