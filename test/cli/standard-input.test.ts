// `-` is standard input: a tar, or a list, for each command that reads images or captions.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { dumpConfig } from '../../src/config/load.ts';
import { mm as mmAlone } from '../support/mm.ts';
import { mmTogether } from '../support/mm-each.ts';
import { packTar } from '../support/tars.ts';
import { writeTinyClip } from '../support/tiny-clip.ts';
import { writeImages, writeTinyDvae } from '../support/tiny-dvae.ts';
import { clipConfig, dalleConfig, dvaeConfig, writeTokenizer } from '../support/tiny-runs.ts';

const mm = mmTogether();
const IMAGES = 12;
const root = mkdtempSync(join(tmpdir(), 'mm-stdin-'));
const at = (name: string): string => join(root, name);
const [dvae, tokenizer, clip] = [at('dvae'), at('tokenizer.json'), at('clip')];
let archive: Buffer;
let list: string;

before(async () => {
  const images = at('images');
  await writeImages(images, IMAGES);
  const names = readdirSync(images, { recursive: true, encoding: 'utf8' }).filter((name) =>
    /\d\./.test(name),
  );
  archive = await packTar(
    Object.fromEntries(names.sort().map((name) => [name, readFileSync(join(images, name))])),
  );
  const rows = names
    .filter((name) => name.endsWith('.png'))
    .map((name) => `${join(images, name)},picture ${Number(name.slice(2, 5))}`);
  list = `file,caption\n${rows.join('\n')}\n`;
  await writeTinyDvae(dvae);
  await writeTokenizer(tokenizer, images);
  await writeTinyClip(clip, tokenizer);
  const train = { batch: 100 };
  const parts = { path: '-', tokenizer };
  mkdirSync(at('configs'));
  writeFileSync(at('configs/dvae.yaml'), dumpConfig(dvaeConfig('-', 0, { steps: 1, batch: 2 })));
  writeFileSync(at('configs/clip.yaml'), dumpConfig(clipConfig(parts, { train })));
  writeFileSync(at('configs/dalle.yaml'), dumpConfig(dalleConfig({ ...parts, dvae }, 0, train)));
});
after(() => rmSync(root, { recursive: true }));

/** Through a pipe to a separate process; the other commands share one, in which standard input is a stream. */
const ALONE: readonly string[] = ['data check', 'tokenize'] satisfies (keyof typeof COMMANDS)[];

/** What each command says of `-`, in its words. */
const COMMANDS = {
  'data check': () => [['data', 'check', '-'], new RegExp(`${IMAGES} images in -, ${IMAGES} usable: 12 png`)],
  'data pack': (out) => [['data', 'pack', '-', '--out', out], /12 images, 12 with a caption, in 1 tar/],
  tokenize: (out) => [['tokenize', '--data', '-', '--dvae', dvae, '--out', out], /12 images of 4 × 4 tokens/],
  'train-bpe': (out) => [
    ['train-bpe', '--data', '-', '--out', `${out}.json`, '--vocabulary', '258'],
    /12 captions/,
  ],
  'train-dvae': (out) => [['train-dvae', '--config', at('configs/dvae.yaml'), '--run', out], /step-1/],
  reconstruct: (out) => [['reconstruct', '-', '--dvae', dvae, '--out', out], /^mean of 12: /m],
  rank: () => [['rank', '-', '--clip', clip, '--no-cache', '--prompt', 'picture 3'], /^ +12 /m],
  classify: () => [
    ['classify', '-', '--clip', clip, '--no-cache', '--label', 'a', '--label', 'b', '--template', '{label}'],
    /(.*a \d.*\n.*){12}/,
  ],
} satisfies Readonly<Record<string, (out: string) => [flags: string[], says: RegExp]>>;

for (const [command, make] of Object.entries(COMMANDS))
  test(`mm ${command} reads a tar from standard input`, async () => {
    const [flags, says] = make(at(`from-tar-${command}`));
    const { code, stdout, stderr } = ALONE.includes(command)
      ? await mmAlone(flags, undefined, {}, archive)
      : await mm(flags, archive);
    assert.equal(code, 0, stderr);
    assert.match(stdout, says);
  });

for (const kind of ['clip', 'dalle'])
  test(`mm train-${kind} reads a tar from standard input: too small for its batch`, async () => {
    const flags = [`train-${kind}`, '--config', at(`configs/${kind}.yaml`), '--run', at(`run-${kind}`)];
    const { code, stderr } = await mm(flags, archive);
    assert.equal(code, 3, stderr);
    assert.match(stderr, /^error: (8|9|10|11|12) captioned images [\s\S]*code: E_TOO_FEW_IMAGES/m);
  });

test('a list from standard input is that of the same images in a file', async () => {
  const [flags, says] = COMMANDS.tokenize(at('from-list'));
  const piped = await mm(flags, list);
  assert.equal(piped.code, 0, piped.stderr);
  assert.match(piped.stdout, says);
  writeFileSync(at('list.csv'), list);
  const filed = await mm(['tokenize', '--data', at('list.csv'), '--dvae', dvae, '--out', at('filed')]);
  assert.equal(filed.code, 0, filed.stderr);
  const captions = (folder: string): string[] =>
    [...readFileSync(join(at(folder), 'shard-000000.tar'), 'latin1').matchAll(/picture \d+/g)].map(
      ([text]) => text,
    );
  assert.equal(captions('from-list').length, IMAGES);
  assert.deepEqual(captions('from-list'), captions('filed'));
});

test('what is neither is refused', async () => {
  for (const [input, error] of [
    ['', 'E_ARCHIVE_DAMAGED'],
    ['a,b\n1,2\n', 'E_NO_IMAGE_COLUMN'],
    [archive.subarray(0, 300), 'E_ARCHIVE_DAMAGED'],
  ] as const) {
    const { code, stderr } = await mm(['data', 'check', '-'], input);
    assert.equal(code, 3, stderr);
    assert.match(stderr, new RegExp(`at: {2}-.*\n[\\s\\S]*code: ${error}\n`));
  }
});
