// Errors of storage: each names the reason and the fix, and nothing is left behind.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { DataError, type UserError } from '../../../src/util/errors.ts';
import { storageError, writeFileAtomic, writeFolderAtomic } from '../../../src/util/files.ts';

const root = mkdtempSync(join(tmpdir(), 'mm-files-'));
after(() => rmSync(root, { recursive: true }));
writeFileSync(join(root, 'file'), 'precious');
mkdirSync(join(root, 'folder', 'full'), { recursive: true });

const places: readonly [name: string, path: string, code: string][] = [
  ['a folder', join(root, 'folder'), 'E_FOLDER_IN_THE_WAY'],
  ['inside a file', join(root, 'file', 'x.png'), 'E_FILE_IN_THE_WAY'],
  ['far inside a file', join(root, 'file', 'a', 'x.png'), 'E_FILE_IN_THE_WAY'],
  ['a name of 300 letters', join(root, 'n'.repeat(300)), 'E_NAME_TOO_LONG'],
];
for (const [name, path, code] of places) {
  test(`writing a file fails with a code: ${name}`, async () => {
    await assert.rejects(writeFileAtomic(path, 'x'), (error: UserError) => {
      assert.ok(error instanceof DataError, error.message);
      assert.deepEqual([error.code, error.where], [code, path]);
      return error.fix !== undefined;
    });
  });
}

test('failed writes leave nothing behind and change nothing', () => {
  assert.deepEqual(readdirSync(root).sort(), ['file', 'folder']);
  assert.deepEqual(readdirSync(join(root, 'folder')), ['full']);
  assert.equal(readFileSync(join(root, 'file'), 'utf8'), 'precious');
});

test('an error in the temporary folder names the final folder', async () => {
  const path = join(root, 'checkpoint');
  const fill = async (folder: string): Promise<void> => {
    throw storageError(Object.assign(new Error('full'), { code: 'ENOSPC' }), join(folder, 'part'));
  };
  await assert.rejects(writeFolderAtomic(path, fill), (error: UserError) => {
    assert.ok(error instanceof DataError);
    assert.deepEqual([error.code, error.where], ['E_DISK_FULL', join(path, 'part')]);
    assert.ok(error.fix);
    return true;
  });
  assert.deepEqual(readdirSync(root).sort(), ['file', 'folder']);
});

test('ENOENT of mkdir, as on a read-only file system, is an error of storage; of open it is not', () => {
  const error = Object.assign(new Error('no such file'), { code: 'ENOENT', syscall: 'mkdir' });
  assert.equal((storageError(error, 'x') as UserError).code, 'E_NO_FOLDER');
  const missing = Object.assign(new Error('no such file'), { code: 'ENOENT', syscall: 'open' });
  assert.equal(storageError(missing, 'x'), missing);
});
