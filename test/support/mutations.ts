// Data sets with seeded damage: archives, lists, images and captions that are cut, changed in some bits, renamed, nested
// in one another, or larger than they say. Each must be read with counted faults, or end in one error for users.

import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import * as tar from 'tar-stream';
import { type DecodeOptions, decodeImage } from '../../src/data/decode.ts';
import { Faults } from '../../src/data/sources/faults.ts';
import { readImages } from '../../src/data/sources/resolve.ts';
import { UserError } from '../../src/util/errors.ts';
import { RandomStream } from '../../src/util/random.ts';

/** Sound files that mutations start from, by name. */
export type Seeds = Readonly<Record<string, Buffer>>;

/** How a mutation ended. */
export interface MutationResult {
  readonly what: string;
  readonly images: number;
  readonly faults: number;
  /** Code of the error, where there was one. */
  readonly error?: string;
  readonly ms: number;
}

export async function packTar(files: readonly (readonly [string, Buffer])[]): Promise<Buffer> {
  const pack = tar.pack();
  for (const [name, data] of files) pack.entry({ name }, data);
  pack.finalize();
  return buffer(pack);
}

type Mutation = (data: Buffer, random: RandomStream, seeds: Seeds) => Buffer;

const cut: Mutation = (data, random) => data.subarray(0, random.integer(data.length + 1));

const flip: Mutation = (data, random) => {
  const changed = Buffer.from(data);
  for (let i = random.integer(8); i >= 0; i--) {
    const at = random.integer(changed.length);
    changed[at] = (changed[at] as number) ^ (1 << random.integer(8));
  }
  return changed;
};

const splice: Mutation = (data, random, seeds) => {
  const all = Object.values(seeds);
  const other = all[random.integer(all.length)] as Buffer;
  const [at, from] = [random.integer(data.length + 1), random.integer(other.length + 1)];
  return Buffer.concat([
    data.subarray(0, at),
    other.subarray(from, from + random.integer(2000)),
    data.subarray(at),
  ]);
};

/** Bytes of a number in the first part of the file made large or small: sizes, counts, offsets. */
const inflate: Mutation = (data, random) => {
  const changed = Buffer.from(data);
  if (changed.length < 8) return changed;
  const at = random.integer(Math.min(changed.length - 4, 600));
  const value = [0xffffffff, 0x7fffffff, 0, 0x37373737][random.integer(4)] as number;
  changed.writeUInt32LE(value, at);
  return changed;
};

const noise: Mutation = (data, random) =>
  Buffer.from(Uint8Array.from({ length: Math.min(data.length, 2000) }, () => random.integer(256)));

const MUTATIONS = { cut, flip, splice, inflate, noise } as const;

/**
 * Makes the mutation of a seed in an empty folder, reads it, and decodes what it lists.
 * @param jpeg decodes JPEG files where sharp need not
 * @throws the error that users must not see: any but a UserError
 */
export async function mutate(
  seed: number,
  folder: string,
  seeds: Seeds,
  jpeg?: DecodeOptions['jpeg'],
): Promise<MutationResult> {
  const random = new RandomStream(seed, 'mutation');
  const pick = <T>(all: readonly T[]): T => all[random.integer(all.length)] as T;
  const name = pick(Object.keys(seeds));
  const kind = pick(Object.keys(MUTATIONS) as (keyof typeof MUTATIONS)[]);
  let data = MUTATIONS[kind](seeds[name] as Buffer, random, seeds);
  let as = name;
  const how = random.integer(8);
  if (how === 0) as = pick(Object.keys(seeds)); // renamed
  if (how === 1) {
    data = await packTar([
      [name, data],
      [`${name}.txt`, Buffer.from('x')],
      ['a.png', seeds['a.png'] as Buffer],
    ]);
    as = 'nested.tar';
  }
  if (how === 2) [data, as] = [gzipSync(data), `${name}.tar.gz`];
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const isImage = /\.(png|jpg|webp|tif|gif|bmp|txt)$/.test(as);
  await writeFile(join(folder, 'a.png'), seeds['a.png'] as Buffer);
  await writeFile(join(folder, isImage ? as : `x/${as}`.replace('x/', '')), data);
  const path = isImage ? folder : join(folder, as);
  const start = performance.now();
  const faults = new Faults();
  const what = `${kind} of ${name}${how < 3 ? ` as ${as}` : ''}`;
  const done = (images: number, error?: string): MutationResult => ({
    what,
    images,
    faults: faults.counts.reduce((sum, { count }) => sum + count, 0),
    ...(error !== undefined && { error }),
    ms: performance.now() - start,
  });
  try {
    const images = await readImages(path, { captions: 'optional', faults });
    let usable = 0;
    const options = { size: 8, crop: 'center', ...(jpeg && { jpeg }) } as const;
    for (const image of images.slice(0, 4))
      if (await faults.guard(image, () => decodeImage(image, options))) usable++;
    return done(usable);
  } catch (error) {
    if (!(error instanceof UserError) || /\n/.test(error.message))
      throw new Error(`seed ${seed}, ${what}`, { cause: error });
    return done(0, error.code);
  }
}
