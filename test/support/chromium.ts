// A page in a real browser, where there is one.

import { execFile } from 'node:child_process';
import { accessSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

function isThere(path: string): boolean {
  try {
    accessSync(path);
    return true;
  } catch {
    return false;
  }
}

/** Path of the browser, or undefined. */
export const chromium = (process.env.PATH ?? '')
  .split(delimiter)
  .flatMap((folder) => NAMES.map((name) => join(folder, name)))
  .find(isThere);

/** For a test's `skip`. */
export const without = chromium === undefined && `no ${NAMES[0]} on the path: the page is not looked at`;

/** Runs the browser without a window; what it prints, console messages of the page on stderr. */
export async function browse(...args: string[]): Promise<{ stdout: string; stderr: string }> {
  const profile = await mkdtemp(join(tmpdir(), 'mm-browser-'));
  const flags = [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--hide-scrollbars',
    '--enable-logging=stderr',
  ];
  try {
    return await promisify(execFile)(chromium as string, [...flags, `--user-data-dir=${profile}`, ...args], {
      maxBuffer: 2 ** 26,
      timeout: 60_000,
    });
  } finally {
    await rm(profile, { recursive: true, force: true });
  }
}
