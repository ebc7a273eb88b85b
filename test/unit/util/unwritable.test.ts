// Paths that cannot be written: each has its error, and nothing is left behind.

import assert from 'node:assert/strict';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { DataError, type ErrorCode, type UserError } from '../../../src/util/errors.ts';
import { makeFolder, storageError, writeFileAtomic, writeFolderAtomic } from '../../../src/util/files.ts';

const root = mkdtempSync(join(tmpdir(), 'mm-files-'));
after(() => rmSync(root, { recursive: true }));
writeFileSync(join(root, 'file'), 'precious');
mkdirSync(join(root, 'folder', 'full'), { recursive: true });

// /proc says ENOENT to every folder that one asks it to make; Node's recursive mkdir asks again for ever.
const onLinux = process.platform === 'linux' ? { skip: false } : { skip: 'no /proc' };
for (const [what, write] of [
  ['file', (path: string) => writeFileAtomic(path, 'x')],
  ['folder', (path: string) => writeFolderAtomic(path, async () => {})],
] as const)
  test(`a ${what} under /proc is an error, not a hang`, onLinux, async () => {
    await assert.rejects(write('/proc/mm/a/x'), { code: 'E_NO_FOLDER' });
  });

test('folders that are missing are made, and links to folders are folders', () => {
  makeFolder(join(root, 'folder', 'a', 'b'));
  symlinkSync(join(root, 'folder', 'a'), join(root, 'folder', 'link'));
  makeFolder(join(root, 'folder', 'link', 'c'));
  assert.deepEqual(readdirSync(join(root, 'folder', 'a')), ['b', 'c']);
  assert.throws(() => makeFolder(join(root, 'file')), { code: 'EEXIST' });
  for (const name of ['a', 'link']) rmSync(join(root, 'folder', name), { recursive: true });
});

const places: readonly [name: string, path: string, code: ErrorCode][] = [
  ['at the path of a folder', join(root, 'folder'), 'E_FOLDER_IN_THE_WAY'],
  ['inside of a file', join(root, 'file', 'x.png'), 'E_FILE_IN_THE_WAY'],
  ['deep inside of a file', join(root, 'file', 'a', 'x.png'), 'E_FILE_IN_THE_WAY'],
  ['with a name of 300 letters', join(root, 'n'.repeat(300)), 'E_NAME_TOO_LONG'],
];
for (const [name, path, code] of places) {
  test(`a file ${name} cannot be written: ${code}`, async () => {
    await assert.rejects(writeFileAtomic(path, 'x'), (error: UserError) => {
      assert.ok(error instanceof DataError, error.message);
      assert.equal(error.code, code);
      assert.equal(error.where, path);
      return error.fix !== undefined;
    });
  });
}

test('failed writes leave and change nothing', () => {
  assert.deepEqual(readdirSync(root).sort(), ['file', 'folder']);
  assert.deepEqual(readdirSync(join(root, 'folder')), ['full']);
  assert.equal(readFileSync(join(root, 'file'), 'utf8'), 'precious');
});

test('an error in filling a folder names the folder, not the temporary one', async () => {
  const path = join(root, 'checkpoint');
  const fill = async (folder: string): Promise<void> => {
    throw storageError(Object.assign(new Error('full'), { code: 'ENOSPC' }), join(folder, 'part'));
  };
  await assert.rejects(writeFolderAtomic(path, fill), (error: UserError) => {
    assert.ok(error instanceof DataError);
    assert.equal(error.code, 'E_DISK_FULL');
    assert.equal(error.where, join(path, 'part'));
    return true;
  });
  assert.deepEqual(readdirSync(root).sort(), ['file', 'folder']);
});

test('ENOENT is a storage error for mkdir, which is how Node reports a read-only file system, and not for open', () => {
  const error = Object.assign(new Error('no such file'), { code: 'ENOENT', syscall: 'mkdir' });
  assert.equal((storageError(error, 'x') as UserError).code, 'E_NO_FOLDER');
  const missing = Object.assign(new Error('no such file'), { code: 'ENOENT', syscall: 'open' });
  assert.equal(storageError(missing, 'x'), missing);
});
