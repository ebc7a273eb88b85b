// Tiny packages in the formats of the real ones, and temporary caches.

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import type { TestContext } from 'node:test';
import { crc32, deflateRawSync, gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { libraryNames } from '../../../../src/engine/library/names.ts';
import type { ProbeResult } from '../../../../src/engine/library/verify.ts';
import { setEnvironment } from '../../../support/environment.ts';

const { framework, tensorflow } = libraryNames();
export const FRAMEWORK = framework;
export const TENSORFLOW = tensorflow[0] as string;
export const TAG = `${process.platform === 'darwin' ? 'macosx_12_0' : 'manylinux_2_27'}_${process.arch === 'x64' ? 'x86_64' : process.platform === 'darwin' ? 'arm64' : 'aarch64'}`;
export const WHEEL = `tensorflow_cpu-2.21.0-cp312-cp312-${TAG}.whl`;

export const METADATA = 'tensorflow_cpu-2.21.0.dist-info/METADATA';

export const PROBED: ProbeResult = {
  version: '2.21.0',
  devices: ['/device:CPU:0'],
  correct: true,
  seconds: 0,
};

export type Contents = Readonly<Record<string, string>>;

/** The files of a tensorflow wheel that mm uses, and one that it ignores. */
export const WHEEL_CONTENTS: Contents = {
  [`tensorflow/${FRAMEWORK}`]: 'framework '.repeat(1000),
  [`tensorflow/${TENSORFLOW}`]: 'tensorflow '.repeat(2000),
  'tensorflow/THIRD_PARTY_NOTICES.txt': 'notices',
  'tensorflow/include/tensorflow/c/c_api.h': 'header',
  [METADATA]: 'Name: tensorflow_cpu\nVersion: 2.21.0\n',
};

/** A folder for one test, deleted after it. */
export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mm-library-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** An empty cache, set as MM_CACHE for one test. */
export async function temporaryCache(t: TestContext): Promise<string> {
  const cache = join(await temporaryFolder(t), 'cache');
  setEnvironment(t, { MM_CACHE: cache, MM_TENSORFLOW: undefined });
  return cache;
}

export async function writeFiles(folder: string, contents: Contents): Promise<void> {
  for (const [path, content] of Object.entries(contents)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
}

/** A zip archive; `mode` gives files their permissions. */
export function zip(contents: Contents, mode = 0o644): Buffer {
  const records: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const [path, content] of Object.entries(contents)) {
    const [name, data] = [Buffer.from(path), Buffer.from(content)];
    const packed = deflateRawSync(data);
    // Version, flags, method, time, date, CRC, sizes, name length, extra length: alike in both headers.
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(8, 4);
    common.writeUInt32LE(crc32(data), 10);
    common.writeUInt32LE(packed.length, 14);
    common.writeUInt32LE(data.length, 18);
    common.writeUInt16LE(name.length, 22);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE((mode << 16) >>> 0, 6);
    tail.writeUInt32LE(offset, 10);
    directory.push(Buffer.from('PK\x01\x02\x14\x03', 'latin1'), common, tail, name);
    records.push(Buffer.from('PK\x03\x04', 'latin1'), common, name, packed);
    offset += 4 + common.length + name.length + packed.length;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(Object.keys(contents).length, 8);
  end.writeUInt16LE(Object.keys(contents).length, 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...records, central, end]);
}

/** A gzipped tarball; a content `->TARGET` is a symbolic link. */
export async function tarball(contents: Contents): Promise<Buffer> {
  const archive = pack();
  for (const [name, content] of Object.entries(contents)) {
    if (content.startsWith('->')) archive.entry({ name, type: 'symlink', linkname: content.slice(2) });
    else archive.entry({ name, mode: 0o755 }, content);
  }
  archive.finalize();
  return gzipSync(await buffer(archive));
}
