// One process at a time works on a path; the others wait. A lock file beside it names the owner, who touches it
// while at work, so that a lock whose owner died is taken over: at once on this machine, else after a while.

import { randomBytes } from 'node:crypto';
import { link, mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { InterruptedError } from '../../util/errors.ts';

const POLL_MS = 200;
const TOUCH_MS = 5_000;
const SILENT_MS = 30_000;

interface Owner {
  readonly pid: number;
  readonly host: string;
}

export interface FileLockOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told once, when another process is at work. */
  readonly onWait?: (pid: number) => void;
}

/**
 * Runs `body` while no other process does so for the same `path`. Its argument is a fresh folder beside `path`,
 * deleted afterwards; what a killed predecessor left is deleted first.
 * @throws InterruptedError when `signal` is aborted while waiting
 */
export async function withFileLock<T>(
  path: string,
  { signal, onWait }: FileLockOptions,
  body: (workFolder: string) => Promise<T>,
): Promise<T> {
  await mkdir(dirname(path), { recursive: true });
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
    // A child that is just being stopped may still write there.
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
  for (let told = false; ; ) {
    if (signal?.aborted) throw new InterruptedError('interrupted while waiting for another process');
    if (await create(lock, JSON.stringify(owner))) return;
    const holder = await read(lock);
    if (holder === undefined) continue;
    if (!holder.alive) await breakLock(lock, holder.content);
    else {
      if (!told) onWait?.(holder.pid);
      told = true;
      await sleep(POLL_MS);
    }
  }
}

/** Creates the lock with its content in one step; false when it is there already. */
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
    // A process number may belong to a newer process, hence the touching.
    const recent = Date.now() - mtimeMs < SILENT_MS;
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

/** Takes a dead owner's lock away; if another process was quicker and owns it by now, gives it back. */
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

/** Deletes the work folders of processes that died. Only the claim's owner may call it. */
async function sweep(path: string): Promise<void> {
  const left = (await readdir(dirname(path))).filter(
    (name) => name.startsWith(`${basename(path)}.`) && name.endsWith('.partial'),
  );
  for (const name of left)
    await rm(join(dirname(path), name), { recursive: true, force: true, maxRetries: 5 });
}
