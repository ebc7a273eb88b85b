// Fetches wheels with pip, which knows the user's index, proxy and certificates, and checks each file's hash.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { EngineError } from '../../util/errors.ts';
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

/** pip's arguments for exactly this wheel, whatever Python runs pip. */
export function pipArguments({ requirement, platforms }: WheelRequest, destination: string): string[] {
  return [
    'download',
    '--no-deps',
    '--only-binary=:all:',
    ...platforms.flatMap((tag) => ['--platform', tag]),
    ...['--python-version', '3.12', '--implementation', 'cp', '--abi', 'cp312'],
    // The wheel is kept once, unpacked; pip's own cache would keep it again.
    '--no-cache-dir',
    ...['--progress-bar', 'off', '--disable-pip-version-check', '--no-input'],
    ...['--dest', destination],
    requirement,
  ];
}

/**
 * Fetches one wheel into `folder`, which must be empty; pip's temporary files go there too.
 * @returns the wheel's path
 * @throws EngineError when pip cannot fetch it; DataError when the disk is full
 */
export async function downloadWheel(
  pip: Pip,
  request: WheelRequest,
  folder: string,
  { progress, signal }: DownloadOptions,
): Promise<string> {
  const [destination, temporary] = [join(folder, 'wheels'), join(folder, 'pip')];
  await Promise.all([mkdir(destination, { recursive: true }), mkdir(temporary, { recursive: true })]);
  const child = spawn(pip.command, [...pip.arguments, ...pipArguments(request, destination)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    signal,
    env: { ...process.env, TMPDIR: temporary, PYTHONUNBUFFERED: '1', PIP_REQUIRE_VIRTUALENV: '0' },
  });
  const stopWatching = watch(child, temporary, progress);
  try {
    const complaints = await run(child);
    const wheel = (await readdir(destination)).find((name) => name.endsWith('.whl'));
    if (wheel === undefined) throw refused(request, complaints, folder);
    return join(destination, wheel);
  } finally {
    stopWatching();
  }
}

/** Waits for pip's end; returns what it wrote on standard error. */
async function run(child: ChildProcess): Promise<string> {
  let complaints = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaints = (complaints + text).slice(-20_000);
  });
  await once(child, 'close');
  return complaints;
}

/** Shows the download that pip announces; its bytes are those in pip's temporary folder. */
function watch(child: ChildProcess, folder: string, progress: Progress): () => void {
  let timer: NodeJS.Timeout | undefined;
  let total = 0;
  let shown = 0;
  createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
    const announced = announcedDownload(line);
    if (announced === undefined || timer !== undefined) return;
    total = Math.max(1, Math.round(announced.bytes / MEGABYTE));
    progress.start(`fetching ${announced.name}, MB`, total);
    timer = setInterval(async () => {
      // At the end pip moves the file away.
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

/** The file and size in pip's `Downloading https://…/NAME.whl (274.0 MB)`. */
export function announcedDownload(line: string): { name: string; bytes: number } | undefined {
  const found = /Downloading (?:\S*\/)?([^\s/-]+-[^\s/-]+)\S*\.whl \(([\d.]+) ?([kMG]?)B\)/.exec(line);
  if (found === null) return undefined;
  const unit = { '': 1, k: 1e3, M: 1e6, G: 1e9 }[found[3] as '' | 'k' | 'M' | 'G'];
  return { name: found[1] as string, bytes: Number(found[2]) * unit };
}

async function bytesUnder(folder: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])) {
    // Files come and go while pip works.
    if (entry.isFile())
      bytes += await stat(join(entry.parentPath, entry.name)).then(
        ({ size }) => size,
        () => 0,
      );
  }
  return bytes;
}

function refused({ requirement }: WheelRequest, complaints: string, folder: string): Error {
  if (/Errno 28|No space left/.test(complaints)) return diskFull(folder);
  const said = complaints.split('\n').filter((line) => /^(ERROR|error):/.test(line));
  const reason = (said.at(-1) ?? complaints.trim().split('\n').at(-1) ?? '').replace(/^ERROR:\s*/i, '');
  if (/[Cc]onnection|Max retries|resol(ve|ution)|SSL|[Pp]roxy|timed out/.test(complaints)) {
    return new EngineError(`pip could not reach its index to fetch ${requirement}`, {
      fix: 'check the network, or name a mirror in PIP_INDEX_URL, or fetch the wheel elsewhere and run mm setup --from WHEEL',
    });
  }
  return new EngineError(`pip could not fetch ${requirement}${reason && `: ${reason}`}`, {
    fix: 'check the index that pip uses (pip config list), or fetch the wheel elsewhere and run mm setup --from WHEEL',
  });
}
