// Checks a library folder in a child process, and explains why it does not work.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { extname } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { EngineError, type ErrorDetails } from '../../util/errors.ts';

/** The report of probe.ts. */
export interface ProbeResult {
  /** TF_Version(). */
  readonly version: string;
  /** Names such as `/job:localhost/replica:0/task:0/device:CPU:0`. */
  readonly devices: readonly string[];
  /** True when the product of two small matrices was right. */
  readonly correct: boolean;
  readonly seconds: number;
}

/** The report of probe.ts after a failure. */
export interface ProbeFailure {
  readonly error: string;
}

export type Verify = (folder: string, signal?: AbortSignal) => Promise<ProbeResult>;

// The first start on a GPU compiles kernels.
const TIMEOUT_MS = 180_000;

/**
 * Loads the library in `folder` and multiplies two matrices with it.
 * @throws EngineError when it does not load, kills its process or gives a wrong result
 */
export const verifyLibrary: Verify = async (folder, signal) => {
  // probe.js when built, and probe.ts in the sources, which need the loader that tests run with.
  const extension = extname(import.meta.url);
  const loader = extension === '.ts' ? ['--import', 'tsx'] : [];
  const probe = fileURLToPath(new URL(`../session/probe${extension}`, import.meta.url));
  const child = spawn(process.execPath, [...loader, probe], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, MM_TENSORFLOW: folder },
    timeout: TIMEOUT_MS,
    signal,
  });
  const [[code, signalled], output, errors] = await Promise.all([
    once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>,
    text(child.stdout),
    text(child.stderr),
  ]);
  if (code !== 0) throw new EngineError(...explainProbeFailure(signalled, lastLine(errors), folder));
  const result = JSON.parse(output) as ProbeResult | ProbeFailure;
  if ('error' in result) throw new EngineError(...explainProbeFailure(signalled, result.error, folder));
  if (!result.correct) {
    throw new EngineError('libtensorflow loads but multiplies matrices wrongly', {
      code: 'E_LIBRARY_WRONG',
      where: folder,
      fix: 'mm setup --force installs it again; if the error stays, the processor or its memory may be faulty',
    });
  }
  return result;
};

const lastLine = (text: string): string => text.trim().split('\n').at(-1) ?? '';

/**
 * The arguments of an EngineError for a failed probe.
 * @param signalled the signal that ended its process
 * @param message its error message or the last line of its output
 */
export function explainProbeFailure(
  signalled: NodeJS.Signals | null,
  message: string,
  where: string,
): [string, ErrorDetails] {
  const because = (reason: string, fix: string): [string, ErrorDetails] => [
    `libtensorflow does not work here: ${reason.replace(/^libtensorflow does not load: /, '')}`,
    { code: 'E_LIBRARY_LOAD', where, fix },
  ];
  if (signalled === 'SIGILL') {
    return because(
      'the processor lacks instructions it needs (AVX)',
      'use a processor with AVX, or a build without it: mm setup --from FOLDER',
    );
  }
  if (signalled === 'SIGTERM')
    return because(`no answer within ${TIMEOUT_MS / 1000} s`, 'try again when the machine is less busy');
  if (/GLIBC(XX)?_|musl/.test(message)) {
    return because(message, 'use a Linux with glibc 2.27 or newer and its libstdc++ (not Alpine)');
  }
  return because(
    signalled === null ? message : `its process was ended by ${signalled}`,
    'mm setup --force installs it again',
  );
}
