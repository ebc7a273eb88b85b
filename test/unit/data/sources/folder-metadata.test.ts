// Folders as Hugging Face's imagefolder has them: `file_name` and a caption column in a list beside the images.

import assert from 'node:assert/strict';
import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { openCaptions } from '../../../../src/data/sources/caption-files.ts';
import { Faults } from '../../../../src/data/sources/faults.ts';
import { readImages } from '../../../../src/data/sources/resolve.ts';
import { temporaryFolder, write } from '../../../support/images.ts';

async function folderOf(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await temporaryFolder();
  for (const [name, content] of Object.entries(files)) await write(join(folder, name), content);
  return folder;
}

const LINES = [
  { file_name: 'a.png', text: 'a red circle' },
  { file_name: 'caf\u00e9.png', text: 'a caf\u00e9' },
  { file_name: 'own.png', text: 'not this' },
  { file_name: 'gone.png', text: 'no image' },
];
const jsonl = LINES.map((line) => JSON.stringify(line)).join('\n');

test('captions come from the lists of a folder and its subfolders; those of an own file first', async () => {
  const folder = await folderOf({
    'train/metadata.jsonl': jsonl,
    'train/a.png': '',
    'train/cafe\u0301.png': '',
    'train/own.png': '',
    'train/own.txt': 'its own',
    'test/metadata.csv': 'file_name,text\nx/a.png,"a, square"\nx/a.jpg,twin\n',
    'test/x/a.png': '',
    'test/x/a.jpg': '',
  });
  const faults = new Faults();
  const images = await readImages(folder, { captions: 'required', faults });
  assert.deepEqual(
    images.map(({ key, captions, lack }) => [key, ...captions, ...(lack ? [lack] : [])]),
    [
      ['test/x/a.jpg', 'twin'],
      ['test/x/a.png', 'a, square'],
      ['train/a', 'a red circle'],
      ['train/cafe\u0301', 'a caf\u00e9'],
      ['train/own', 'its own'],
    ],
  );
  assert.deepEqual(
    faults.counts.map(({ kind, count }) => [kind, count]),
    [
      ['twin', 2],
      ['list-row', 1],
    ],
  );
  const captions: string[] = [];
  for await (const caption of (await openCaptions(folder)).captions()) captions.push(caption);
  assert.deepEqual(captions, ['twin', 'a, square', 'a red circle', 'a caf\u00e9', 'its own']);
});

test('a list of that name that is about something else is another file', async () => {
  for (const [name, content] of [
    ['metadata.csv', 'camera,lens\nX,Y\n'],
    ['metadata.jsonl', '{"camera":"X"}\n'],
    ['metadata.jsonl', 'no JSON'],
    ['metadata.csv', 'file_name,text\nelsewhere.png,one\n'],
  ] as const) {
    const folder = await folderOf({ 'a.png': '', 'a.txt': 'one', [name]: content });
    const faults = new Faults();
    const images = await readImages(folder, { captions: 'required', faults });
    assert.deepEqual(
      images.map(({ captions }) => captions),
      [['one']],
    );
    assert.deepEqual(
      faults.counts.map(({ kind, count }) => [kind, count]),
      [['other-file', 1]],
      content,
    );
  }
});

test('a list that cannot be read is a fault, and the images stay', async () => {
  const folder = await folderOf({ 'a.png': '', 'a.txt': 'one', 'metadata.csv': '\0\u0001' });
  await symlink('nowhere', join(folder, 'metadata.jsonl'));
  const faults = new Faults();
  const images = await readImages(folder, { captions: 'required', faults });
  assert.deepEqual(
    images.map(({ captions }) => captions),
    [['one']],
  );
  assert.deepEqual(faults.all, [
    { path: join(folder, 'metadata.csv'), reason: 'the list is not a text file' },
    { path: join(folder, 'metadata.jsonl'), reason: 'there is no such list' },
  ]);
});
