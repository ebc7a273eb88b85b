// A file lock: one process at a time works on a path, the others wait. The lock file beside the path names its owner,
// which touches it regularly. A lock whose owner died is taken over: at once on the same machine, otherwise after 30
// seconds without a touch.

import { randomBytes } from 'node:crypto';
import { link, mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { InterruptedError } from '../../util/errors.ts';
import { makeFolder } from '../../util/files.ts';

const POLL_MS = 200;
const TOUCH_MS = 5_000;
const STALE_MS = 30_000;

interface Owner {
  readonly pid: number;
  readonly host: string;
}

export interface FileLockOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called once when another process has the lock. */
  readonly onWait?: (pid: number) => void;
}

/**
 * Runs `body` while holding the lock of `path`. The argument of `body` is an empty work folder beside `path`, which is
 * deleted afterwards; work folders of killed processes are deleted first.
 * @throws InterruptedError when `signal` is aborted while waiting
 */
export async function withFileLock<T>(
  path: string,
  { signal, onWait }: FileLockOptions,
  body: (workFolder: string) => Promise<T>,
): Promise<T> {
  makeFolder(dirname(path));
  const lock = `${path}.lock`;
  await acquire(lock, signal, onWait);
  const touching = setInterval(() => void touch(lock), TOUCH_MS);
  const work = `${path}.${unique()}.partial`;
  try {
    await sweep(path);
    await mkdir(work);
    return await body(work);
  } finally {
    clearInterval(touching);
    // A child process that is being stopped may still write there.
    await rm(work, { recursive: true, force: true, maxRetries: 5 });
    await rm(lock, { force: true });
  }
}

const unique = (): string => `${process.pid}-${randomBytes(4).toString('hex')}`;

async function acquire(
  lock: string,
  signal: AbortSignal | undefined,
  onWait: FileLockOptions['onWait'],
): Promise<void> {
  const owner: Owner = { pid: process.pid, host: hostname() };
  for (let isReported = false; ; ) {
    if (signal?.aborted)
      throw new InterruptedError('interrupted while waiting for another process', { code: 'E_INTERRUPTED' });
    if (await create(lock, JSON.stringify(owner))) return;
    const holder = await read(lock);
    if (holder === undefined) continue;
    if (!holder.alive) await breakLock(lock, holder.content);
    else {
      if (!isReported) onWait?.(holder.pid);
      isReported = true;
      await sleep(POLL_MS);
    }
  }
}

/** Creates the lock with its content in one step; false when it exists. */
async function create(lock: string, content: string): Promise<boolean> {
  const draft = `${lock}.${unique()}`;
  await writeFile(draft, content);
  try {
    await link(draft, lock);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

async function read(lock: string): Promise<{ content: string; pid: number; alive: boolean } | undefined> {
  try {
    const [content, { mtimeMs }] = await Promise.all([readFile(lock, 'utf8'), stat(lock)]);
    const { pid, host } = JSON.parse(content) as Owner;
    // The process id may have been reused by a newer process, hence the touches.
    const recent = Date.now() - mtimeMs < STALE_MS;
    return { content, pid, alive: recent && (host !== hostname() || isRunning(pid)) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Removes the lock of a dead owner; restores it when another process has taken it over meanwhile. */
async function breakLock(lock: string, content: string): Promise<void> {
  const taken = `${lock}.${unique()}`;
  try {
    await rename(lock, taken);
    if ((await readFile(taken, 'utf8')) !== content) await link(taken, lock);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== 'ENOENT' && code !== 'EEXIST') throw error;
  }
  await rm(taken, { force: true });
}

async function touch(lock: string): Promise<void> {
  const now = new Date();
  await utimes(lock, now, now).catch(() => undefined);
}

/** Deletes the work folders of dead processes. Only the owner of the lock may call it. */
async function sweep(path: string): Promise<void> {
  const left = (await readdir(dirname(path))).filter(
    (name) => name.startsWith(`${basename(path)}.`) && name.endsWith('.partial'),
  );
  for (const name of left)
    await rm(join(dirname(path), name), { recursive: true, force: true, maxRetries: 5 });
}
