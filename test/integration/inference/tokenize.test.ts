import assert from 'node:assert/strict';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { after, before, beforeEach, mock, test } from 'node:test';
import * as tar from 'tar-stream';
import { readCheckpoint } from '../../../src/checkpoint/read.ts';
import { decodeImage } from '../../../src/data/decode.ts';
import { readImages } from '../../../src/data/sources/resolve.ts';
import type { TokenManifest } from '../../../src/data/tokens/manifest.ts';
import { readTokenFolder } from '../../../src/data/tokens/read.ts';
import { parseDevices } from '../../../src/engine/session/devices.ts';
import { Runtime } from '../../../src/engine/session/runtime.ts';
import { DvaeCodec } from '../../../src/inference/dvae/codec.ts';
import { type TokenizeOptions, tokenizeFolder } from '../../../src/inference/jobs/tokenize.ts';
import { DataError, InterruptedError } from '../../../src/util/errors.ts';
import { createLogger } from '../../../src/util/logger.ts';
import { SILENT } from '../../../src/util/progress.ts';
import { TINY, writeImage, writeImages, writeTinyDvae } from '../../support/tiny-dvae.ts';

const IMAGES = 75;
/** Two batches, the second one short. */
const SHARD = 35;

let root: string;
let out: string;
before(async () => {
  root = mkdtempSync(join(tmpdir(), 'mm-tokenize-'));
  await writeTinyDvae(join(root, 'dvae'));
  await writeImages(join(root, 'images'), IMAGES);
});
after(() => rmSync(root, { recursive: true }));
beforeEach(() => {
  out = mkdtempSync(join(root, 'tokens-'));
});

const tokenize = async (
  options: Partial<TokenizeOptions> = {},
  { progress = SILENT, signal = new AbortController().signal } = {},
): Promise<TokenManifest> => {
  const { manifest } = await tokenizeFolder(
    {
      data: join(root, 'images'),
      dvae: join(root, 'dvae'),
      out,
      shardSize: SHARD,
      resume: false,
      ...options,
    },
    { log: createLogger('silent'), progress, signal },
  );
  return manifest;
};

const contents = (path: string): Record<string, string> =>
  Object.fromEntries(readdirSync(path).map((name) => [name, readFileSync(join(path, name), 'latin1')]));

test('tokens hold the codes, the captions and the key of every image, in order, also of two devices', async () => {
  const manifest = await tokenize({ devices: parseDevices('cpu:0,cpu:1') });
  assert.deepEqual(
    manifest.shards.map(({ count }) => count),
    [35, 35, 5],
  );
  const set = await readTokenFolder(out);
  const names = Array.from({ length: IMAGES }, (_, i) => String(i).padStart(3, '0'));
  const even = names.filter((_, i) => i % 2 === 0);
  const odd = names.filter((_, i) => i % 2 === 1);
  assert.deepEqual(set.keys, [...even.map((name) => `a/${name}`), ...odd.map((name) => `b/${name}`)]);
  assert.deepEqual(
    set.captions,
    [...even, ...odd].map((name) => [`picture ${Number(name)}`]),
  );

  const runtime = new Runtime();
  try {
    const checkpoint = await readCheckpoint(join(root, 'dvae'), { kind: 'dvae', warn: assert.fail });
    const codec = await DvaeCodec.open(runtime, checkpoint);
    assert.equal(set.dvaeHash, codec.hash);
    assert.equal(set.grid, codec.grid);
    assert.equal(set.vocabulary, TINY.vocabulary);
    const expected: number[] = [];
    for (const key of set.keys) {
      const path = join(root, 'images', `${key}.png`);
      expected.push(
        ...(await codec.encode(await decodeImage(path, { size: TINY.imageSize, crop: 'center' }))),
      );
    }
    assert.deepEqual([...set.codes], expected);
    assert.ok(new Set(expected).size >= 8, 'the codes differ');
  } finally {
    await runtime.close();
  }
});

test('a run interrupted after any shard and resumed writes the same files as an uninterrupted one', async () => {
  await tokenize();
  const whole = contents(out);
  rmSync(out, { recursive: true });

  for (let runs = 1; ; runs++) {
    const controller = new AbortController();
    const progress = { ...methods(SILENT), update: () => controller.abort() };
    try {
      await tokenize({ resume: runs > 1 }, { progress, signal: controller.signal });
      assert.equal(runs, 3);
      break;
    } catch (error) {
      assert.ok(error instanceof InterruptedError, String(error));
      assert.equal(error.code, 'E_INTERRUPTED');
      assert.equal(error.where, out);
      assert.match(error.fix ?? '', /`resume`/);
      const shards = readdirSync(out).filter((name) => name.startsWith('shard-'));
      assert.equal(shards.length, runs, 'each run finishes the shard it is making');
    }
  }
  assert.deepEqual(contents(out), whole);
});

const methods = (progress: typeof SILENT) => ({
  start: progress.start.bind(progress),
  update: progress.update.bind(progress),
  stop: progress.stop.bind(progress),
  note: progress.note.bind(progress),
});

test('progress starts at the images of finished shards and counts every image', async () => {
  const events: (string | number)[] = [];
  const progress = {
    ...methods(SILENT),
    start: (label: string, total: number, done = 0) => void events.push(label, total, done),
    update: (done: number) => void events.push(done),
  };
  await tokenize({}, { progress });
  assert.deepEqual(events, ['tokenizing', 75, 0, 32, 35, 67, 70, 75]);
  rmSync(join(out, 'shard-000000.tar'));
  events.length = 0;
  await tokenize({ resume: true }, { progress });
  assert.deepEqual(events, ['tokenizing', 75, 40, 72, 75]);
});

test('images that cannot be read are skipped and listed, and the others keep their index', async () => {
  const data = join(root, 'faulty');
  for (let i = 0; i < 8; i++) await writeImage(join(data, `${i}.png`), i);
  writeFileSync(join(data, '1.png'), 'not an image');
  writeFileSync(join(data, '5.png'), readFileSync(join(data, '5.png')).subarray(0, 60));
  writeFileSync(join(data, '4.txt'), 'only one has a caption');
  const manifest = await tokenize({ data, shardSize: 5 });
  assert.equal(manifest.images, 6);
  assert.deepEqual(
    manifest.shards.map(({ count, skipped }) => [count, skipped.map(({ file }) => file)]),
    [
      [4, ['1.png']],
      [2, ['5.png']],
    ],
  );
  for (const { skipped } of manifest.shards) assert.ok(skipped[0]!.why.length > 3);
  const { keys, captions } = await readTokenFolder(out);
  assert.deepEqual(keys, ['0', '2', '3', '4', '6', '7']);
  assert.deepEqual(captions[3], ['only one has a caption']);
  assert.deepEqual(captions[0], []);
});

test('a shard without a usable image is empty, and a source without one is an error', async () => {
  const data = join(root, 'worse');
  for (let i = 0; i < 4; i++) await writeImage(join(data, `${i}.png`), i);
  for (const i of [2, 3]) writeFileSync(join(data, `${i}.png`), '');
  assert.deepEqual(
    (await tokenize({ data, shardSize: 2 })).shards.map(({ count }) => count),
    [2, 0],
  );
  assert.deepEqual((await readTokenFolder(out)).keys, ['0', '1']);

  rmSync(out, { recursive: true });
  for (const i of [0, 1]) writeFileSync(join(data, `${i}.png`), '');
  await assert.rejects(tokenize({ data, shardSize: 2 }), { code: 'E_NO_USABLE_IMAGE', where: data });
  await assert.rejects(readTokenFolder(out), { code: 'E_NO_TOKENS', where: out });
});

test('a resumed run refuses other images, other captions or another dVAE', async () => {
  const data = join(root, 'changing');
  for (let i = 0; i < 3; i++) await writeImage(join(data, `${i}.png`), i);
  await tokenize({ data, shardSize: 2 });
  const before = JSON.parse(readFileSync(join(out, 'manifest.json'), 'utf8')) as TokenManifest;
  const otherLayout = (key: 'source' | 'dvae') => (error: DataError) =>
    error instanceof DataError && error.code === 'E_LAYOUT_DIFFERS' && error.message.includes(before[key]);
  const resume = () => tokenize({ data, shardSize: 2, resume: true });
  await resume();

  writeFileSync(join(data, '0.txt'), 'a caption');
  await assert.rejects(resume(), otherLayout('source'));
  rmSync(join(data, '0.txt'));
  renameSync(join(data, '0.png'), join(data, '7.png'));
  await assert.rejects(resume(), otherLayout('source'));
  renameSync(join(data, '7.png'), join(data, '0.png'));
  await resume();

  await writeTinyDvae(join(root, 'other'), 2);
  await assert.rejects(
    tokenize({ data, shardSize: 2, resume: true, dvae: join(root, 'other') }),
    otherLayout('dvae'),
  );
});

test('a codebook that 16 bits do not hold is refused', async () => {
  await writeTinyDvae(join(root, 'huge'), 1, { ...TINY, vocabulary: 65_537 });
  await assert.rejects(
    tokenize({ dvae: join(root, 'huge') }),
    (error: DataError) => error.code === 'E_VOCABULARY_TOO_LARGE' && error.message.includes('65537'),
  );
  assert.deepEqual(readdirSync(out), []);
});

test('images in tars give the same tokens as the same images in files', async () => {
  const tars = join(root, 'tars');
  mkdirSync(tars);
  const images = await readImages(join(root, 'images'), { captions: 'optional' });
  // Two archives, cut where no shard ends.
  for (const [i, part] of [images.slice(0, 40), images.slice(40)].entries()) {
    const archive = tar.pack();
    for (const { key, path, captions } of part) {
      const stem = key.replace('/', '-');
      archive.entry({ name: `${stem}.png` }, readFileSync(path));
      archive.entry({ name: `${stem}.txt` }, `${captions.join('\n')}\n`);
    }
    archive.finalize();
    writeFileSync(join(tars, `${i}.tar`), await buffer(archive));
  }
  await tokenize();
  const expected = await readTokenFolder(out);
  const other = join(root, 'tokens of tars');
  const manifest = await tokenize({ data: tars, out: other });
  const set = await readTokenFolder(other);
  assert.deepEqual(set.codes, expected.codes);
  assert.deepEqual(set.captions, expected.captions);
  assert.deepEqual(
    set.keys,
    expected.keys.map((key, i) => `${i < 40 ? 0 : 1}/${key.replace('/', '-')}`),
  );
  assert.equal(manifest.images, IMAGES);

  // Read part by part: the same shards, whose parts begin elsewhere, also when some of them are made again.
  const { MM_CACHE } = process.env;
  process.env.MM_CACHE = join(root, 'cache');
  try {
    const byPart = join(root, 'tokens by part');
    const large = { data: tars, out: byPart, whole: 1 };
    assert.notEqual((await tokenize(large)).source, manifest.source);
    const shards = (path: string): Record<string, string> => {
      const { 'manifest.json': _, ...rest } = contents(path);
      return rest;
    };
    assert.deepEqual(shards(byPart), shards(other));
    rmSync(join(byPart, 'shard-000001.tar'));
    await tokenize({ ...large, resume: true });
    assert.deepEqual(shards(byPart), shards(other));

    // Shares that run at once fill one folder, which is that of one run.
    const shared = join(root, 'tokens in shares');
    await Promise.all([1, 2].map((index) => tokenize({ ...large, out: shared, share: { index, of: 2 } })));
    assert.deepEqual(contents(shared), contents(byPart));
  } finally {
    if (MM_CACHE === undefined) delete process.env.MM_CACHE;
    else process.env.MM_CACHE = MM_CACHE;
  }
});

test('a disk that fills in the middle of a shard leaves no half shard, and a resumed run neither loses nor repeats one', async () => {
  await tokenize();
  const whole = contents(out);
  const full = join(root, 'full');
  const handle = await open(join(root, 'dvae', 'state.json'));
  const prototype = Object.getPrototypeOf(handle) as FileHandle;
  await handle.close();
  const { writeFile } = prototype;
  let shards = 0;
  const injected = mock.method(
    prototype,
    'writeFile',
    async function (this: FileHandle, data: Uint8Array | string) {
      // The second shard fits half.
      if (typeof data !== 'string' && ++shards === 2) {
        await writeFile.call(this, data.subarray(0, data.length / 2));
        throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
      }
      return writeFile.call(this, data);
    },
  );
  try {
    await assert.rejects(
      tokenize({ out: full }),
      (error: DataError) =>
        error instanceof DataError && error.code === 'E_DISK_FULL' && /`resume`/.test(error.fix ?? ''),
    );
  } finally {
    injected.mock.restore();
  }
  assert.deepEqual(readdirSync(full).sort(), ['manifest.partial.json', 'shard-000000.tar']);
  await tokenize({ out: full, resume: true });
  assert.deepEqual(contents(full), whole);
});
