// mm tokenize as a user calls it.

import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { EXIT } from '../../src/util/errors.ts';
import { mm as mmAlone } from '../support/mm.ts';
import { mmTogether } from '../support/mm-each.ts';
import { writeImages, writeTinyDvae } from '../support/tiny-dvae.ts';

const mm = mmTogether();

const IMAGES = 12;
const SHARD = 2;

let root: string;
let data: string;
let dvae: string;
let whole: Record<string, string>;

const command = (out: string, flags: readonly string[]): string[] => [
  ...['tokenize', '--data', data, '--dvae', dvae, '--out', out, '--shard-size', String(SHARD)],
  ...flags,
];
const tokenize = (out: string, flags: readonly string[] = []) => mm(command(out, flags));
const tokenizeAlone = (out: string, flags: readonly string[], watch?: (child: ChildProcess) => void) =>
  mmAlone(command(out, flags), watch);

const contents = (path: string): Record<string, string> =>
  Object.fromEntries(readdirSync(path).map((name) => [name, readFileSync(join(path, name), 'latin1')]));

before(async () => {
  root = mkdtempSync(join(tmpdir(), 'mm-tokenize-'));
  data = join(root, 'images');
  dvae = join(root, 'dvae');
  await writeImages(data, IMAGES);
  await writeTinyDvae(dvae);
});
after(() => rmSync(root, { recursive: true }));

describe('mm tokenize', () => {
  test('the manifest is written, and printed with --json', async () => {
    const out = join(root, 'whole');
    const { code, stdout, stderr } = await tokenizeAlone(out, ['--json', '--devices', 'cpu:0,cpu:1']);
    assert.equal(code, 0, stderr);
    const manifest = JSON.parse(stdout) as { images: number; shards: unknown[] };
    assert.deepEqual(manifest, JSON.parse(readFileSync(join(out, 'manifest.json'), 'utf8')));
    assert.equal(manifest.images, IMAGES);
    assert.equal(manifest.shards.length, IMAGES / SHARD);
    assert.match(stderr, /tokenizing 12\/12 .*images\/s/);
    whole = contents(out);
  });

  test('data check has their images on its page, decoded by the dVAE, and by no other', async () => {
    const check = ['data', 'check', join(root, 'whole'), '--html', join(root, 'page.html'), '--dvae'];
    const { code, stdout, stderr } = await mm([...check, dvae]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^12 images of 4 × 4 codes/m);
    const page = readFileSync(join(root, 'page.html'), 'utf8');
    assert.match(page, /Some of the images[\s\S]*picture 3[\s\S]*Lengths of captions/);
    assert.ok(page.split('data:image/png;base64,').length > IMAGES);
    const other = join(root, 'other-dvae');
    await writeTinyDvae(other, 2);
    const wrong = await mm([...check, other]);
    assert.equal(wrong.code, EXIT.data);
    assert.match(wrong.stderr, / {2}code: E_DVAE_DIFFERS\n/);
  });

  test('a folder with other files is refused and left as it is', async () => {
    const out = join(root, 'other');
    mkdirSync(out);
    writeFileSync(join(out, 'notes.txt'), 'precious');
    const { code, stdout, stderr } = await tokenize(out);
    assert.equal(code, EXIT.usage);
    assert.equal(stdout, '');
    assert.match(stderr, / {2}at: {2}.*other\n {2}fix: .*\n {2}code: E_FOLDER_NOT_EMPTY\n$/);
    assert.deepEqual(contents(out), { 'notes.txt': 'precious' });
  });

  test('a shard size that is no whole number is refused', async () => {
    for (const size of ['0', '1.5']) {
      const { code, stderr } = await mm([
        'tokenize',
        '--data',
        data,
        '--dvae',
        dvae,
        '--out',
        join(root, 'none'),
        '--shard-size',
        size,
      ]);
      assert.equal(code, EXIT.usage, stderr);
      assert.match(stderr, new RegExp(`from 1 to 100000, received ${size}\\n {2}at: {2}--shard-size\\n`));
      assert.match(stderr, / {2}code: E_OPTION_VALUE\n/);
    }
    assert.ok(!existsSync(join(root, 'none')));
  });
});

/** The runs wait in the third shard: one of its images is a pipe that nobody writes to yet. */
describe('a run that was stopped in its third shard and resumed equals an uninterrupted one', () => {
  const image = (): string => join(data, 'a', '008.png');
  let pipe: string;
  let kept: string;
  before(() => {
    pipe = join(root, 'pipe');
    kept = join(root, 'kept.png');
    execFileSync('mkfifo', [pipe]);
    renameSync(image(), kept);
    symlinkSync(pipe, image());
  });
  const FINISHED = ['manifest.partial.json', 'shard-000000.tar', 'shard-000001.tar'];
  const restore = (): void => {
    rmSync(image(), { force: true });
    writeFileSync(image(), readFileSync(kept));
  };

  /** Waits until two shards are on record, or the program has ended. */
  async function twoShards(out: string, child: ChildProcess): Promise<void> {
    const manifest = join(out, 'manifest.partial.json');
    const shards = (): number =>
      (JSON.parse(readFileSync(manifest, 'utf8')) as { shards: unknown[] }).shards.length;
    while (child.exitCode === null && !(existsSync(manifest) && shards() === 2)) await setTimeout(10);
  }

  test('after Ctrl-C, which keeps the finished shards and says how to resume', async () => {
    const out = join(root, 'interrupted');
    const { code, stdout, stderr } = await tokenizeAlone(out, ['--json'], async (child) => {
      await twoShards(out, child);
      child.kill('SIGINT');
      await new Promise((resolve) => child.stderr!.on('data', resolve));
      await writeFile(pipe, readFileSync(kept));
    });
    assert.equal(code, EXIT.interrupted, stderr);
    assert.equal((JSON.parse(stdout) as { error: { code: string } }).error.code, 'E_INTERRUPTED');
    assert.match(stderr, / {2}at: .*interrupted\n {2}fix: .*--resume.*\n {2}code: E_INTERRUPTED\n/);
    assert.deepEqual(Object.keys(contents(out)).sort(), FINISHED);
    restore();
    const resumed = await tokenize(out, ['--resume']);
    assert.equal(resumed.code, 0, resumed.stderr);
    assert.match(resumed.stdout, /12 images of 4 × 4 tokens in 6 shards/);
    assert.deepEqual(contents(out), whole);
    rmSync(image());
    symlinkSync(pipe, image());
  });

  test('after kill -9, with no shard lost, repeated or half written', async () => {
    const out = join(root, 'killed');
    const { code } = await tokenizeAlone(out, [], async (child) => {
      await twoShards(out, child);
      child.kill('SIGKILL');
    });
    assert.equal(code, null);
    const left = contents(out);
    assert.deepEqual(Object.keys(left).sort(), FINISHED);
    restore();
    const refused = await tokenize(out);
    assert.equal(refused.code, EXIT.usage);
    assert.match(refused.stderr, / {2}fix: .*--resume.*\n {2}code: E_FOLDER_NOT_EMPTY\n/);
    assert.deepEqual(contents(out), left);
    const resumed = await tokenize(out, ['--resume']);
    assert.equal(resumed.code, 0, resumed.stderr);
    assert.deepEqual(contents(out), whole);
  });
});
