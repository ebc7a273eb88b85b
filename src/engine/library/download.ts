// Downloads wheels with pip, which uses the configured index, proxy and certificates, and checks the hash of each file.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { EngineError } from '../../util/errors.ts';
import { makeFolder } from '../../util/files.ts';
import type { Progress } from '../../util/progress.ts';
import type { Pip } from './python.ts';
import { diskFull } from './storage.ts';
import type { WheelRequest } from './wheel.ts';

export interface DownloadOptions {
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
}

const POLL_MS = 500;
const MEGABYTE = 1e6;

/** pip's arguments for exactly this wheel, independent of the Python that runs pip. */
export function pipArguments({ requirement, platforms }: WheelRequest, destination: string): string[] {
  return [
    'download',
    '--no-deps',
    '--only-binary=:all:',
    ...platforms.flatMap((tag) => ['--platform', tag]),
    ...['--python-version', '3.12', '--implementation', 'cp', '--abi', 'cp312'],
    // The unpacked wheel is stored once; pip's cache would store it again.
    '--no-cache-dir',
    ...['--progress-bar', 'off', '--disable-pip-version-check', '--no-input'],
    ...['--dest', destination],
    requirement,
  ];
}

/**
 * Downloads one wheel into `folder`, which must be empty; pip's temporary files go there too.
 * @returns the path of the wheel
 * @throws EngineError when pip cannot download it; DataError when the disk is full
 */
export async function downloadWheel(
  pip: Pip,
  request: WheelRequest,
  folder: string,
  { progress, signal }: DownloadOptions,
): Promise<string> {
  const [destination, temporary] = [join(folder, 'wheels'), join(folder, 'pip')];
  makeFolder(destination);
  makeFolder(temporary);
  const child = spawn(pip.command, [...pip.arguments, ...pipArguments(request, destination)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    signal,
    env: { ...process.env, TMPDIR: temporary, PYTHONUNBUFFERED: '1', PIP_REQUIRE_VIRTUALENV: '0' },
  });
  const stopWatching = watch(child, temporary, progress);
  try {
    const stderr = await run(child);
    const wheel = (await readdir(destination)).find((name) => name.endsWith('.whl'));
    if (wheel === undefined) throw downloadError(request, stderr, folder);
    return join(destination, wheel);
  } finally {
    stopWatching();
  }
}

/** Waits for the end of pip; returns the end of its standard error. */
async function run(child: ChildProcess): Promise<string> {
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-20_000);
  });
  await once(child, 'close');
  return stderr;
}

/** Shows the progress of the download that pip announces, by the bytes in pip's temporary folder. */
function watch(child: ChildProcess, folder: string, progress: Progress): () => void {
  let timer: NodeJS.Timeout | undefined;
  let total = 0;
  let shown = 0;
  createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
    const announced = announcedDownload(line);
    if (announced === undefined || timer !== undefined) return;
    total = Math.max(1, Math.round(announced.bytes / MEGABYTE));
    progress.start(`downloading ${announced.name}, MB`, total);
    timer = setInterval(async () => {
      // pip moves the file away at the end.
      shown = Math.max(shown, Math.min(total, Math.floor((await bytesUnder(folder)) / MEGABYTE)));
      if (timer !== undefined) progress.update(shown);
    }, POLL_MS);
  });
  return () => {
    if (timer === undefined) return;
    clearInterval(timer);
    timer = undefined;
    if (child.exitCode === 0) progress.update(total);
    progress.stop();
  };
}

/** File and size in pip's line `Downloading https://…/NAME.whl (274.0 MB)`; undefined for other lines. */
export function announcedDownload(line: string): { name: string; bytes: number } | undefined {
  const found = /Downloading (?:\S*\/)?([^\s/-]+-[^\s/-]+)\S*\.whl \(([\d.]+) ?([kMG]?)B\)/.exec(line);
  if (found === null) return undefined;
  const unit = { '': 1, k: 1e3, M: 1e6, G: 1e9 }[found[3] as '' | 'k' | 'M' | 'G'];
  return { name: found[1] as string, bytes: Number(found[2]) * unit };
}

async function bytesUnder(folder: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])) {
    // Files appear and disappear while pip runs.
    if (entry.isFile())
      bytes += await stat(join(entry.parentPath, entry.name)).then(
        ({ size }) => size,
        () => 0,
      );
  }
  return bytes;
}

function downloadError({ requirement }: WheelRequest, stderr: string, folder: string): Error {
  if (/Errno 28|No space left/.test(stderr)) return diskFull(folder);
  const errors = stderr.split('\n').filter((line) => /^(ERROR|error):/.test(line));
  const reason = (errors.at(-1) ?? stderr.trim().split('\n').at(-1) ?? '').replace(/^ERROR:\s*/i, '');
  if (/[Cc]onnection|Max retries|resol(ve|ution)|SSL|[Pp]roxy|timed out/.test(stderr)) {
    return new EngineError(`pip could not reach its index to download ${requirement}`, {
      code: 'E_PIP_NETWORK',
      fix: 'check the network, or set a mirror in PIP_INDEX_URL, or download the wheel elsewhere: mm setup --from WHEEL',
    });
  }
  return new EngineError(`pip could not download ${requirement}${reason && `: ${reason}`}`, {
    code: 'E_PIP_DOWNLOAD',
    fix: 'check the index that pip uses (pip config list), or download the wheel elsewhere: mm setup --from WHEEL',
  });
}
