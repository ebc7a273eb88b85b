// Unpacks the needed files of a package: TensorFlow's two libraries, their licences and, for the CUDA build, NVIDIA's
// libraries and the compiler parts that XLA calls. Paths stay as in the wheels, where TensorFlow looks for them.

import { createWriteStream } from 'node:fs';
import { rename } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { makeFolder } from '../../util/files.ts';
import type { Progress } from '../../util/progress.ts';
import { libraryNames } from './names.ts';
import type { PackedFile } from './packed.ts';

export interface UnpackOptions {
  readonly gpu: boolean;
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
}

/** Bytes from which a file has a progress bar. */
const MIN_PROGRESS_BYTES = 20e6;
const MEGABYTE = 1e6;
// Licences are at a tarball's root, in the tensorflow package (its own among the headers), or in a wheel's metadata.
const LICENCE =
  /^(?:tensorflow\/(?:include\/)?|([^/]+)\.dist-info\/(?:licenses\/)?)?((?:THIRD_PARTY|LICEN[CS]E)[^/]*)$/i;
// The C tarball's libtensorflow.so.2 is a link to libtensorflow.so.2.18.0.
const LIBRARY = /^libtensorflow(_cc|_framework)?(\.so(\.\d+)+|(\.\d+)+\.dylib)$/;

/** Path of a package's file in the library's folder; undefined for files that are not needed. */
export function targetOf(path: string, gpu: boolean): string | undefined {
  const licence = LICENCE.exec(path);
  if (licence !== null) return `licences/${licence[1] ?? 'tensorflow'}/${licence[2]}`;
  const name = basename(path);
  if (LIBRARY.test(name)) return `tensorflow/${name}`;
  if (!gpu || !path.startsWith('nvidia/')) return undefined;
  const needed =
    /\/lib\/[^/]+\.so(\.\d+)*$/.test(path) || /\/cuda_nvcc\/(bin\/|nvvm\/libdevice\/)/.test(path);
  return needed ? path : undefined;
}

/** Unpacks the needed files into `folder`, synced to disk. @returns the paths written, relative to it */
export async function unpack(
  files: AsyncIterable<PackedFile>,
  folder: string,
  options: UnpackOptions,
): Promise<string[]> {
  const written = new Set<string>();
  const links = new Map<string, string>();
  for await (const file of files) {
    const target = targetOf(file.path, options.gpu);
    if (target === undefined) continue;
    if (file.link !== undefined) links.set(target, join(dirname(target), file.link));
    else {
      await write(file, join(folder, target), options);
      written.add(target);
    }
  }
  await resolveLinks(folder, written, links);
  return [...written];
}

async function write(file: PackedFile, path: string, { progress, signal }: UnpackOptions): Promise<void> {
  makeFolder(dirname(path));
  const mode = file.executable ? 0o755 : 0o644;
  const destination = createWriteStream(path, { mode, flush: true, highWaterMark: 1 << 20 });
  const shown = file.bytes >= MIN_PROGRESS_BYTES;
  const total = Math.round(file.bytes / MEGABYTE);
  if (shown) progress.start(`unpacking ${basename(path)}, MB`, total);
  async function* counted(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    let bytes = 0;
    for await (const chunk of chunks) {
      yield chunk;
      bytes += chunk.length;
      if (shown) progress.update(Math.round(bytes / MEGABYTE));
    }
  }
  try {
    await pipeline(file.open(), counted, destination, { signal });
  } finally {
    if (shown) progress.stop();
  }
}

/** Renames the file at the end of each chain of links to the name that is loaded; links are not kept. */
async function resolveLinks(folder: string, written: Set<string>, links: Map<string, string>): Promise<void> {
  const { framework, tensorflow } = libraryNames();
  for (const name of [framework, ...tensorflow].map((loaded) => `tensorflow/${loaded}`)) {
    let target = links.get(name);
    for (let hops = 0; target !== undefined && !written.has(target) && hops < 8; hops++)
      target = links.get(target);
    if (target === undefined || !written.has(target)) continue;
    await rename(join(folder, target), join(folder, name));
    written.delete(target);
    written.add(name);
  }
}
