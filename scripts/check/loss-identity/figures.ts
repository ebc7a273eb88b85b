// Exact figures of what the program leaves, as texts by name: what metrics, JSON, weights, codes and images say, and
// nothing of the formats around them that may change without the figures doing so.

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import sharp from 'sharp';
import tar from 'tar-stream';

/** The values of each name, in order. */
export type Figures = Record<string, string[]>;

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Times differ from run to run. */
const TIME = /seconds|duration|per_?second|throughput/i;

/** The numbers of JSON lines; each value with its line's step, where lines have steps. */
export function ofJsonLines(text: string): Figures {
  const figures: Figures = {};
  for (const line of text.split('\n').filter((line) => line !== '')) {
    const { step, ...values } = JSON.parse(line) as Record<string, unknown>;
    for (const [name, value] of Object.entries(values)) {
      // Numbers that are not finite stand as texts.
      const isFigure = typeof value === 'number' || /^(NaN|-?Infinity)$/.test(String(value));
      if (!isFigure || TIME.test(name)) continue;
      figures[name] ??= [];
      figures[name].push(step === undefined ? `${value}` : `step ${step}: ${value}`);
    }
  }
  return figures;
}

const filesUnder = (folder: string, name: RegExp): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((file) => file.isFile() && name.test(file.name))
    .map((file) => join(file.parentPath, file.name))
    .sort();

interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

/** Type, shape and hash of every tensor in the safetensors files under a folder. */
export function ofTensors(folder: string): Figures {
  const figures: Figures = {};
  for (const path of filesUnder(folder, /\.safetensors$/)) {
    const bytes = readFileSync(path);
    const start = 8 + Number(bytes.readBigUInt64LE());
    const header = JSON.parse(bytes.toString('utf8', 8, start)) as Record<string, Entry>;
    for (const [name, { dtype, shape, data_offsets }] of Object.entries(header)) {
      if (name === '__metadata__') continue;
      const [begin, end] = data_offsets;
      const data = bytes.subarray(start + begin, start + end);
      const file = relative(folder, path).replace(/\.safetensors$/, '');
      figures[`${file}/${name}`] = [`${dtype} ${shape.join('×')} ${sha256(data)}`];
    }
  }
  return Object.fromEntries(Object.entries(figures).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The hash of every array in the tars of a folder, in order. */
export async function ofCodes(folder: string): Promise<Figures> {
  const hashes: string[] = [];
  for (const path of filesUnder(folder, /\.tar$/)) {
    for await (const entry of Readable.from([readFileSync(path)]).pipe(tar.extract())) {
      const bytes = await buffer(entry);
      if (!entry.header.name.endsWith('.npy')) continue;
      // NumPy's format: six bytes of magic, two of version, two of the header's length.
      hashes.push(sha256(bytes.subarray(10 + bytes.readUInt16LE(8))));
    }
  }
  return { codes: hashes };
}

/** The hash of the pixels of every numbered image in a folder, in order. */
export async function ofImages(folder: string): Promise<Figures> {
  const hashes: string[] = [];
  for (const path of filesUnder(folder, /^\d{4,}\b.*\.png$/))
    hashes.push(sha256(await sharp(path).removeAlpha().raw().toBuffer()));
  return { pixels: hashes };
}
