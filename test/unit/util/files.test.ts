import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { platform, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { DataError } from '../../../src/util/errors.ts';
import { assertWritable, writeFileAtomic } from '../../../src/util/files.ts';

const root = mkdtempSync(join(tmpdir(), 'mm-files-'));
const file = join(root, 'file');
writeFileSync(file, 'kept');
after(() => rmSync(root, { recursive: true }));

test('a folder that exists or can be made is writable, and the check leaves nothing behind', async () => {
  await assertWritable(root);
  await assertWritable(join(root, 'a', 'b', 'c'));
  assert.deepEqual(readdirSync(root), ['file']);
});

test('a file in the way of a folder is the same error in the check and in writing', async () => {
  for (const path of [file, join(file, 'a'), join(file, 'a', 'b')]) {
    const isTold = (error: unknown): boolean => {
      assert.ok(error instanceof DataError);
      assert.equal(error.code, 'E_FILE_IN_THE_WAY');
      assert.ok(error.where?.startsWith(path));
      return true;
    };
    await assert.rejects(assertWritable(path), isTold);
    await assert.rejects(writeFileAtomic(join(path, 'new'), ''), isTold);
  }
  assert.deepEqual(readdirSync(root), ['file']);
});

const skip = platform() !== 'linux' && 'no folder that nobody may write into is known';
test('a folder without write permission is an error', { skip }, async () => {
  for (const path of ['/proc/mm', '/sys/mm/samples']) {
    await assert.rejects(assertWritable(path), (error: unknown) => {
      assert.ok(error instanceof DataError);
      assert.ok(['E_NO_PERMISSION', 'E_FOLDER_NOT_WRITABLE'].includes(String(error.code)), error.code);
      assert.equal(error.where, path);
      return true;
    });
    assert.ok(!existsSync(path));
  }
});
