// More images than stay in memory: mm train-dalle makes token shards of them in the cache folder, and trains on those.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { DalleConfig } from '../../../../src/config/dalle.ts';
import { readFinishedManifest } from '../../../../src/data/tokens/read.ts';
import { Runtime } from '../../../../src/engine/session/runtime.ts';
import { tokenizeFolder } from '../../../../src/inference/jobs/tokenize.ts';
import { createLogger } from '../../../../src/util/logger.ts';
import { SILENT } from '../../../../src/util/progress.ts';
import { packTar } from '../../../support/tars.ts';
import { writeImages, writeTinyDvae } from '../../../support/tiny-dvae.ts';
import { dalleConfig, dalleSession, lasting, writeTokenizer } from '../../../support/tiny-runs.ts';

const root = mkdtempSync(join(tmpdir(), 'mm-large-images-'));
const [images, tars, dvae] = [join(root, 'images'), join(root, 'tars'), join(root, 'dvae')];
const tokenizer = join(root, 'tokenizer.json');
const { MM_CACHE } = process.env;

/** A tar of 25 of the images and their captions. */
async function writeTar(index: number): Promise<void> {
  const names = readdirSync(images, { recursive: true, encoding: 'utf8' }).filter((name) =>
    /\d\.(png|txt)$/.test(name),
  );
  const own = names.filter((name) => Math.floor(Number(name.slice(2, 5)) / 25) === index).sort();
  const members = Object.fromEntries(own.map((name) => [name, readFileSync(join(images, name))]));
  writeFileSync(join(tars, `${index}.tar`), await packTar(members));
}

before(async () => {
  await new Runtime().close(); // libtensorflow is in the cache, too
  process.env.MM_CACHE = join(root, 'cache');
  await writeImages(images, 75);
  await writeTinyDvae(dvae);
  await writeTokenizer(tokenizer, images);
  mkdirSync(tars);
  for (const index of [0, 1, 2]) await writeTar(index);
});
after(() => {
  if (MM_CACHE === undefined) delete process.env.MM_CACHE;
  else process.env.MM_CACHE = MM_CACHE;
  rmSync(root, { recursive: true });
});

/** Windows of one shard, each of 32 images, the least. */
function config(data: Partial<DalleConfig['data']>): DalleConfig {
  const given = dalleConfig({ path: tars, dvae, tokenizer });
  const { path: _, ...parts } = given.data;
  return { ...given, data: { ...parts, shuffle: { whole: 20, buffer: 8 }, truncateCaptions: true, ...data } };
}

const cached = (): string[] => readdirSync(join(root, 'cache', 'tokens')).sort();
/** All but the files with the configuration, which names the data. */
const trained = (run: string) =>
  Object.entries(lasting(join(root, run))).filter(([name]) => !/(config\.yaml|state\.json)$/.test(name));

test('tars of many images train as the token shards that mm tokenize makes of them, from any stop', async () => {
  const tokens = join(root, 'tokens');
  const signal = new AbortController().signal;
  await tokenizeFolder(
    { data: tars, dvae, out: tokens, shardSize: 32, resume: false },
    { log: createLogger('silent'), progress: SILENT, signal },
  );
  await dalleSession(config({ tokens }))(join(root, 'from-tokens'));

  const session = dalleSession(config({ path: tars }));
  const run = join(root, 'from-images');
  const stopped = { code: 'E_INTERRUPTED', where: join(root, 'cache', 'tokens') };
  await assert.rejects(session(run, { stop: { label: 'tokenizing', at: 32 } }), ({ code, where }) => {
    assert.deepEqual([code, where.startsWith(stopped.where)], [stopped.code, true]);
    return true;
  });
  const [folder] = cached() as [string];
  const shards = () => readdirSync(join(root, 'cache', 'tokens', folder));
  assert.deepEqual(shards(), ['manifest.partial.json', 'shard-000000.tar']);
  await assert.rejects(session(run, { stop: { label: 'train-dalle', at: 5 } }), { code: 'E_INTERRUPTED' });
  assert.ok(shards().includes('manifest.json'));
  await session(run, { resume: true, stop: { label: 'tokenizing', at: 32 } });
  assert.deepEqual(trained('from-images'), trained('from-tokens'));
  assert.deepEqual(cached(), [folder]);
});

test('a folder is encoded into shards too, its captions checked before', async () => {
  const before = cached();
  const short = config({ path: images, truncateCaptions: false });
  const few = { ...short, model: { ...short.model, textLength: 3 } };
  await assert.rejects(dalleSession(few)(join(root, 'short')), { code: 'E_CAPTION_TOO_LONG' });
  assert.deepEqual(cached(), before);
  await dalleSession({ ...short, train: { ...short.train, steps: 1 } })(join(root, 'folder'));
  assert.equal(cached().length, before.length + 1);
});

test('changed tars are encoded anew, without an image that has lost its caption', async () => {
  const before = cached();
  rmSync(join(images, 'a', '030.txt'));
  await writeTar(1);
  const changed = config({ path: tars });
  await dalleSession({ ...changed, train: { ...changed.train, steps: 1 } })(join(root, 'changed'));
  const [folder, ...others] = cached().filter((name) => !before.includes(name));
  assert.deepEqual(others, []);
  const { images: usable, shards } = await readFinishedManifest(
    join(root, 'cache', 'tokens', folder as string),
  );
  assert.deepEqual(
    [usable, shards.flatMap(({ skipped }) => skipped)],
    [74, [{ file: '1.tar/a/030.png', why: 'it has no caption' }]],
  );
});
