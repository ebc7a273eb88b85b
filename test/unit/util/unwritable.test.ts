// Places that cannot be written to: each says what is wrong with it, and nothing is left behind.

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

const places: readonly [name: string, path: string, says: RegExp][] = [
  ['a folder', join(root, 'folder'), /a folder of this name/],
  ['inside a file', join(root, 'file', 'x.png'), /a file stands where a folder is needed/],
  ['far inside a file', join(root, 'file', 'a', 'x.png'), /a file stands where a folder is needed/],
  ['a name of 300 letters', join(root, 'n'.repeat(300)), /the name is too long/],
];
for (const [name, path, says] of places) {
  test(`a file in place of ${name}`, async () => {
    await assert.rejects(writeFileAtomic(path, 'x'), (error: UserError) => {
      assert.ok(error instanceof DataError, error.message);
      assert.match(error.message, says);
      assert.equal(error.where, path);
      return error.fix !== undefined;
    });
  });
}

test('and nothing is left, or changed', () => {
  assert.deepEqual(readdirSync(root).sort(), ['file', 'folder']);
  assert.deepEqual(readdirSync(join(root, 'folder')), ['full']);
  assert.equal(readFileSync(join(root, 'file'), 'utf8'), 'precious');
});

test('a folder that cannot be filled is named by its own name, not that of the temporary one', async () => {
  const path = join(root, 'checkpoint');
  const fill = async (folder: string): Promise<void> => {
    throw storageError(Object.assign(new Error('full'), { code: 'ENOSPC' }), join(folder, 'part'));
  };
  await assert.rejects(writeFolderAtomic(path, fill), (error: UserError) => {
    assert.ok(error instanceof DataError);
    assert.equal(error.message, 'the disk is full');
    assert.equal(error.where, join(path, 'part'));
    return true;
  });
  assert.deepEqual(readdirSync(root).sort(), ['file', 'folder']);
});

test('a folder on a read-only file system, as Node puts it', () => {
  const error = Object.assign(new Error('no such file'), { code: 'ENOENT', syscall: 'mkdir' });
  assert.match((storageError(error, 'x') as UserError).message, /cannot be made/);
  const missing = Object.assign(new Error('no such file'), { code: 'ENOENT', syscall: 'open' });
  assert.equal(storageError(missing, 'x'), missing);
});
