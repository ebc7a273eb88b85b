// Image files for the tests, good and bad.

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after } from 'node:test';
import pino from 'pino';
import sharp, { type Sharp } from 'sharp';
import type { Logger } from '../../src/util/logger.ts';

/** A folder that is gone when the file's tests are over. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mm-data-'));
  after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export async function write(path: string, data: string | Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, data);
}

/** A plain image. */
export function plain(width: number, height: number, colour: string): Sharp {
  return sharp({ create: { width, height, channels: 3, background: colour } });
}

/** Red left of `split` (a share of the width), blue right of it. */
export function halves(width: number, height: number, split = 0.5): Sharp {
  const left = Math.round(width * split);
  return plain(width, height, '#00f').composite([
    { input: { create: { width: left, height, channels: 3, background: '#f00' } }, left: 0, top: 0 },
  ]);
}

/** Noise that does not compress: a file that can be cut anywhere inside its data. */
export async function noise(width: number, height: number, format: 'png' | 'jpeg'): Promise<Buffer> {
  const { data } = { data: Buffer.alloc(width * height * 3) };
  for (let i = 0, state = 1; i < data.length; i++) {
    state = (state * 48271) % 0x7fffffff;
    data[i] = state & 255;
  }
  return sharp(data, { raw: { width, height, channels: 3 } })
    [format]()
    .toBuffer();
}

/** RGB of a pixel. */
export function pixel(pixels: Uint8Array, size: number, x: number, y: number): number[] {
  return [...pixels.subarray(3 * (y * size + x), 3 * (y * size + x) + 3)];
}

/** A logger that keeps what it is told. */
export function keepingLogger(): { log: Logger; lines: string[] } {
  const lines: string[] = [];
  const log = pino(
    { base: null },
    { write: (line: string) => void lines.push((JSON.parse(line) as { msg: string }).msg) },
  );
  return { log, lines };
}
