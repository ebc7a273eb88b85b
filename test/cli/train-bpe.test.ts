// mm train-bpe as a user calls it.

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { BpeTokenizer } from '../../src/tokenizers/bpe.ts';
import { mm as mmAlone, type Outcome } from '../support/mm.ts';
import { mmTogether } from '../support/mm-each.ts';

const program = mmTogether();
const mm = (...flags: string[]): Promise<Outcome> => program(['train-bpe', ...flags]);

let folder: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'mm-train-bpe-'));
});
after(() => rmSync(folder, { recursive: true }));

describe('mm train-bpe', () => {
  test('a text file gives a tokenizer, and a report as JSON', async () => {
    const data = join(folder, 'captions.txt');
    writeFileSync(data, 'A red circle\na red square\n\na blue circle on a red square\n');
    const out = join(folder, 'a', 'tokenizer.json');
    const { code, stdout, stderr } = await mmAlone([
      ...['train-bpe', '--data', data, '--out', out, '--vocabulary', '270', '--json'],
    ]);
    assert.equal(code, 0, stderr);
    const tokenizer = await BpeTokenizer.load(out);
    const longest = 'a blue circle on a red square';
    const tokens = ['a red circle', 'a red square', longest].reduce(
      (sum, text) => sum + tokenizer.encode(text).length,
      0,
    );
    assert.deepEqual(JSON.parse(stdout), {
      file: out,
      vocabulary: 270,
      requested: 270,
      files: 1,
      captions: 3,
      empty: 1,
      characters: 12 + 12 + 29,
      tokens,
      charactersPerToken: 53 / tokens,
      longest: { tokens: tokenizer.encode(longest).length, caption: longest },
    });
  });

  test('a folder gives the same tokenizer each time, and a text says that its captions give fewer tokens', async () => {
    const data = join(folder, 'images');
    mkdirSync(join(data, 'deep'), { recursive: true });
    writeFileSync(join(data, '1.txt'), 'a cat');
    writeFileSync(join(data, 'deep', '2.txt'), 'a cat');
    const [out, again] = [join(folder, 'b.json'), join(folder, 'c.json')];
    const { code, stdout, stderr } = await mm('--image_text_folder', data, '--out', out);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /b\.json: 260 tokens from 2 captions in 2 files/);
    assert.match(stdout, /fewer than the 16384 requested/);
    assert.match(stdout, /2\.50 characters per token/);
    assert.match(stdout, /the longest caption has 2 tokens: a cat/);
    assert.equal((await mm('--data', data, '--out', again)).code, 0);
    assert.equal(readFileSync(again, 'utf8'), readFileSync(out, 'utf8'));
  });

  const fails = (
    name: string,
    content: string | Buffer,
    flags: string[],
    exit: number,
    ...patterns: RegExp[]
  ): void => {
    test(name, async () => {
      const data = join(folder, 'bad.txt');
      writeFileSync(data, content);
      const out = join(folder, 'bad.json');
      const outcome = await mm('--data', data, '--out', out, ...flags);
      assert.equal(outcome.code, exit, outcome.stderr);
      for (const pattern of patterns) assert.match(outcome.stderr, pattern);
      assert.equal(outcome.stdout, '');
      assert.ok(!existsSync(out));
    });
  };
  fails(
    'only empty lines are refused',
    '\n \n',
    [],
    3,
    / {2}at: .*bad\.txt\n {2}fix: .*\n {2}code: E_NO_CAPTIONS/,
  );
  fails(
    'an image is refused',
    Buffer.of(0x89, 0x50, 0x4e, 0x47, 0, 0),
    [],
    3,
    / {2}at: .*bad\.txt/,
    / {2}code: E_NOT_TEXT/,
  );
  fails(
    'a vocabulary without the bytes is refused',
    'a',
    ['--vocabulary', '100'],
    2,
    /from 256 to 1048576, received 100/,
    / {2}at: {2}--vocabulary\n[\s\S]* {2}code: E_OPTION_VALUE/,
  );
  fails('an unknown flag is refused', 'a', ['--vocabluary', '300'], 2, /--vocabluary[\s\S]*E_FLAG_UNKNOWN/);

  test('an --out that cannot be written is refused before the work', async () => {
    const data = join(folder, 'x.txt');
    writeFileSync(data, 'a');
    const cases = [
      [folder, / {2}at: {2}.*mm-train-bpe-\w+\n[\s\S]*E_PATH_KIND/],
      [join(data, 'deep', 'tokenizer.json'), / {2}at: {2}.*deep\n[\s\S]*E_PATH_KIND/],
    ] as const;
    for (const [out, message] of cases) {
      const { code, stderr } = await mm('--data', data, '--out', out);
      assert.equal(code, 2);
      assert.match(stderr, message);
      assert.doesNotMatch(stderr, /reading/);
    }
  });
});
