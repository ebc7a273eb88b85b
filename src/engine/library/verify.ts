// Tries a library folder in a child process, and says in words why it does not work.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { extname } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { EngineError } from '../../util/errors.ts';

/** What probe.ts reports. */
export interface ProbeResult {
  /** TF_Version(). */
  readonly version: string;
  /** Such as `/job:localhost/replica:0/task:0/device:CPU:0`. */
  readonly devices: readonly string[];
  /** Whether the product of two small matrices came out right. */
  readonly correct: boolean;
  readonly seconds: number;
}

/** What probe.ts reports when it cannot. */
export interface ProbeFailure {
  readonly error: string;
}

export type Verify = (folder: string, signal?: AbortSignal) => Promise<ProbeResult>;

// A first start on a GPU compiles kernels.
const LIMIT_MS = 180_000;

/**
 * Loads the library in `folder` and computes with it.
 * @throws EngineError when it does not load, ends its process, or computes wrongly
 */
export const verifyLibrary: Verify = async (folder, signal) => {
  // probe.js when built, and probe.ts in the sources, which need the loader that tests run with.
  const extension = extname(import.meta.url);
  const loader = extension === '.ts' ? ['--import', 'tsx'] : [];
  const probe = fileURLToPath(new URL(`../session/probe${extension}`, import.meta.url));
  const child = spawn(process.execPath, [...loader, probe], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, MM_TENSORFLOW: folder },
    timeout: LIMIT_MS,
    signal,
  });
  const [[code, ended], output, complaints] = await Promise.all([
    once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>,
    text(child.stdout),
    text(child.stderr),
  ]);
  if (code !== 0) throw new EngineError(...explainProbeFailure(ended, lastLine(complaints), folder));
  const result = JSON.parse(output) as ProbeResult | ProbeFailure;
  if ('error' in result) throw new EngineError(...explainProbeFailure(ended, result.error, folder));
  if (!result.correct) {
    throw new EngineError('libtensorflow loads but multiplies matrices wrongly', {
      where: folder,
      fix: 'mm setup --force fetches it again; if it stays, the processor or its memory may be faulty',
    });
  }
  return result;
};

const lastLine = (text: string): string => text.trim().split('\n').at(-1) ?? '';

/** The arguments of an EngineError for a probe that failed: `said` is its message or last words. */
export function explainProbeFailure(
  ended: NodeJS.Signals | null,
  said: string,
  where: string,
): [string, { where: string; fix: string }] {
  const because = (reason: string, fix: string): [string, { where: string; fix: string }] => [
    `libtensorflow does not work here: ${reason.replace(/^libtensorflow does not load: /, '')}`,
    { where, fix },
  ];
  if (ended === 'SIGILL') {
    return because(
      'the processor lacks instructions it needs (AVX)',
      'use a processor with AVX, or a build without it: mm setup --from FOLDER',
    );
  }
  if (ended === 'SIGTERM')
    return because(`no answer within ${LIMIT_MS / 1000} s`, 'try again when the machine is less busy');
  if (/GLIBC(XX)?_|musl/.test(said)) {
    return because(said, 'use a Linux with glibc 2.27 or newer and its libstdc++ (not Alpine)');
  }
  return because(
    ended === null ? said : `its process was ended by ${ended}`,
    'mm setup --force fetches it again',
  );
}
