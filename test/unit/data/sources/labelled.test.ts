import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { Faults } from '../../../../src/data/sources/faults.ts';
import { readClasses, readLabels, readLabelTable } from '../../../../src/data/sources/labelled.ts';
import { temporaryFolder, write } from '../../../support/images.ts';

test('a table gives paths relative to it and labels, with or without a heading', async () => {
  const folder = await temporaryFolder();
  const expected = [
    { path: join(folder, 'photos/one.jpg'), label: 'a cat, asleep' },
    { path: '/two.png', label: 'dog' },
  ];
  for (const text of [
    'file,label\nphotos/one.jpg,"a cat, asleep"\n\n /two.png , dog \n',
    '\uFEFFphotos/one.jpg, "a cat, asleep"\r\n/two.png,dog',
    'image\tlabel\nphotos/one.jpg\ta cat, asleep\n/two.png\tdog\n',
  ]) {
    await write(join(folder, 'table.csv'), text);
    assert.deepEqual(await readLabelTable(join(folder, 'table.csv')), expected);
  }
});

test('a row without a label is recorded; an empty table and a missing one are errors that name the place', async () => {
  const folder = await temporaryFolder();
  const table = join(folder, 'table.csv');
  await write(table, 'file,label\na.png,x\n\nb.png\n');
  const faults = new Faults();
  assert.equal((await readLabelTable(table, faults)).length, 1);
  assert.deepEqual(faults.all, [{ path: `${table}:4`, reason: 'a row needs a file and a label' }]);
  await write(table, 'file,label\n,\n');
  await assert.rejects(readLabelTable(table), { code: 'E_NO_LABELS', where: table });
  const none = join(folder, 'none.csv');
  await assert.rejects(readLabelTable(none), { code: 'E_NOT_FOUND', where: none });
});

test('labels are the lines of a file that are not blank', async () => {
  const file = join(await temporaryFolder(), 'labels.txt');
  await write(file, '\uFEFFa cat\r\n\n  a dog \n');
  assert.deepEqual(await readLabels(file), ['a cat', 'a dog']);
  await write(file, '\n \n');
  await assert.rejects(readLabels(file), { code: 'E_NO_LABELS', where: file });
});

test('the class of an image is its top-level folder; an image outside of these is recorded', async () => {
  const folder = await temporaryFolder();
  for (const name of ['cat/a.png', 'dog/b/c.jpg']) await write(join(folder, name), '');
  await write(join(folder, 'stray.png'), '');
  const faults = new Faults();
  assert.deepEqual(
    (await readClasses(folder, faults)).map(({ path, label }) => [path, label]),
    [
      [join(folder, 'cat/a.png'), 'cat'],
      [join(folder, 'dog/b/c.jpg'), 'dog'],
    ],
  );
  assert.deepEqual(
    faults.all.map(({ path }) => path),
    [join(folder, 'stray.png')],
  );
  const flat = await temporaryFolder();
  await write(join(flat, 'stray.png'), '');
  await assert.rejects(readClasses(flat), { code: 'E_NO_LABEL', where: join(flat, 'stray.png') });
});
