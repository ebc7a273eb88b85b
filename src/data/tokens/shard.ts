// One shard: a WebDataset tar of KEY.codes.npy, KEY.txt (a caption a line) and KEY.json. KEY is the index of the image
// in the whole set, which is valid in any tar and file system; the key of the image is in the JSON.

import { buffer } from 'node:stream/consumers';
import tar from 'tar-stream';
import { z } from 'zod';
import { textLines } from '../sources/captions.ts';
import { DamagedTokensError } from './manifest.ts';
import { type CodeArray, decodeNpy, encodeNpy } from './npy.ts';

/** An image as its codes, with its captions. */
export interface TokenSample extends CodeArray {
  /** Index in the whole set, from 0. */
  readonly index: number;
  /** The image's key in its data set. */
  readonly key: string;
  /** The image's file, relative to its data set. */
  readonly file: string;
  /** Empty: none. */
  readonly captions: readonly string[];
  /** The part of the data set that it belongs to, where its source says so. */
  readonly split?: 'train' | 'validation' | 'test' | undefined;
  /** Its class, where its source says so. */
  readonly label?: string | undefined;
  /** Times that an epoch of training has it, where it is not 1. */
  readonly weight?: number | undefined;
}

/** Digits of a KEY, so that names sort like numbers. */
const KEY_DIGITS = 9;
const CODES = 'codes.npy';
const CAPTIONS = 'txt';
const ABOUT = 'json';
const aboutSchema = z.object({
  key: z.string(),
  file: z.string(),
  split: z.enum(['train', 'validation', 'test']).optional(),
  label: z.string().optional(),
  weight: z.number().positive().optional(),
});

/** The bytes of a shard: the same for the same samples. */
export async function packShard(samples: readonly TokenSample[]): Promise<Buffer> {
  const pack = tar.pack();
  for (const sample of samples) {
    const add = (extension: string, data: Buffer | string): void => {
      const name = `${String(sample.index).padStart(KEY_DIGITS, '0')}.${extension}`;
      pack.entry({ name, mtime: new Date(0) }, data as Buffer);
    };
    add(CODES, encodeNpy(sample));
    if (sample.captions.length > 0) add(CAPTIONS, sample.captions.join('\n'));
    const { key, file, split, label, weight } = sample;
    add(ABOUT, JSON.stringify({ key, file, split, label, weight }));
  }
  pack.finalize();
  return buffer(pack);
}

/**
 * The images in a shard, in order.
 * @param where the file of the shard, for messages
 * @throws DamagedTokensError naming the entry
 */
export async function unpackShard(bytes: Buffer, where: string): Promise<TokenSample[]> {
  const samples = new Map<string, Map<string, Buffer>>();
  for (const [name, data] of await readEntries(bytes, where)) {
    const [, key, extension] = /^([^.]*)\.(.*)$/.exec(name) ?? [];
    if (key === undefined || extension === undefined)
      throw new DamagedTokensError(`a file without extension: ${name}`, where);
    const sample = samples.get(key) ?? new Map<string, Buffer>();
    if (sample.has(extension)) throw new DamagedTokensError(`${name} is in the shard twice`, where);
    samples.set(key, sample.set(extension, data));
  }
  return Array.from(samples, ([key, files]) => readSample(key, files, where));
}

async function readEntries(bytes: Buffer, where: string): Promise<[name: string, data: Buffer][]> {
  const extract = tar.extract();
  extract.end(bytes);
  const found: [string, Buffer][] = [];
  try {
    for await (const entry of extract) {
      found.push([entry.header.name, await buffer(entry)]);
    }
  } catch (cause) {
    throw new DamagedTokensError(`not a whole tar file: ${(cause as Error).message}`, where, cause);
  }
  return found;
}

function readSample(key: string, files: ReadonlyMap<string, Buffer>, where: string): TokenSample {
  const part = <T>(extension: string, read: (bytes: Buffer) => T): T => {
    const bytes = files.get(extension);
    if (!bytes) throw new DamagedTokensError(`${key}.${extension} is missing`, where);
    try {
      return read(bytes);
    } catch (cause) {
      throw new DamagedTokensError(`${key}.${extension}: ${(cause as Error).message}`, where, cause);
    }
  };
  return {
    index: Number(key),
    ...part(ABOUT, readAbout),
    captions: textLines(files.get(CAPTIONS)?.toString('utf8') ?? ''),
    ...part(CODES, decodeNpy),
  };
}

function readAbout(bytes: Buffer): z.output<typeof aboutSchema> {
  const about = aboutSchema.safeParse(JSON.parse(bytes.toString('utf8')));
  if (!about.success) throw new RangeError(z.prettifyError(about.error));
  return about.data;
}
