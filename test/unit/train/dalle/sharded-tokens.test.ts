// Token shards that are read shard by shard: the same examples as in memory, from whatever position.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { BatchPosition } from '../../../../src/data/order.ts';
import { Faults } from '../../../../src/data/sources/faults.ts';
import { isValidation } from '../../../../src/data/split.ts';
import { TokenFolder } from '../../../../src/data/tokens/folder.ts';
import { sha256, type TokenManifest } from '../../../../src/data/tokens/manifest.ts';
import { readFinishedManifest, readTokenFolder } from '../../../../src/data/tokens/read.ts';
import type { TokenTurn } from '../../../../src/train/dalle/examples.ts';
import { heldOutTokens, shardedTokens } from '../../../../src/train/dalle/sharded-tokens.ts';

const [IMAGES, SHARD, SHARE] = [46, 4, 0.25];
const path = mkdtempSync(join(tmpdir(), 'mm-sharded-tokens-'));
let manifest: TokenManifest;
let faults: Faults;
const isUsable = (index: number): boolean => index % 7 !== 3 && index !== 8;
const keyOf = (index: number): string => `k${index}`;

before(async () => {
  const layout = {
    dvae: sha256('d'),
    imageSize: 8,
    grid: 2,
    vocabulary: 256,
    shardSize: SHARD,
    source: sha256('s'),
  };
  const folder = await TokenFolder.open(path, layout, { resume: false, warn: assert.fail, images: IMAGES });
  for (let shard = 0; shard * SHARD < IMAGES; shard++) {
    const indices = Array.from({ length: SHARD }, (_, i) => shard * SHARD + i).filter((i) => i < IMAGES);
    const samples = indices.map((index) => ({
      ...{ index, key: keyOf(index), file: `${index}.png`, rows: 2, columns: 2 },
      captions: index % 7 === 3 ? [] : [`caption ${index}`],
      codes: Uint16Array.of(index, 1, 2, 3),
      ...(index === 8 && { split: 'test' as const }),
    }));
    await folder.write(shard, samples, []);
  }
  await folder.finish();
  manifest = await readFinishedManifest(path);
});
after(() => rmSync(path, { recursive: true }));

async function take(count: number, position?: BatchPosition): Promise<TokenTurn[]> {
  faults = new Faults();
  const set = shardedTokens(path, manifest, { share: SHARE, buffer: 10, faults });
  const taken: TokenTurn[] = [];
  for await (const turn of set.turns(3, position)) if (taken.push(turn) === count) break;
  return taken;
}

const all = Array.from({ length: IMAGES }, (_, i) => i).filter(isUsable);
const trained = all.filter((index) => !isValidation(keyOf(index), SHARE));

test('an epoch has every example for training once, with its codes and captions; the others are recorded once', async () => {
  const turns = await take(2 * trained.length);
  for (const epoch of [0, 1]) {
    const indices = turns.filter((turn) => turn.epoch === epoch).map(({ example }) => example.index);
    assert.deepEqual(
      indices.toSorted((a, b) => a - b),
      trained,
    );
  }
  const orders = [0, 1].map((e) =>
    turns.filter(({ epoch }) => epoch === e).map(({ example }) => example.key),
  );
  assert.notDeepEqual(orders[0], orders[1]);
  const set = await readTokenFolder(path);
  for (const { example } of turns) {
    assert.deepEqual(example.captions, set.captions[example.index]);
    assert.deepEqual(example.codes, set.codes.slice(example.index * 4, example.index * 4 + 4));
  }
  assert.deepEqual(faults.counts.map(({ kind, count }) => [kind, count]).sort(), [
    ['no-caption', IMAGES - all.length - 1],
    ['test-split', 1],
  ]);
});

test('turns resumed at any position equal uninterrupted ones', async () => {
  const whole = await take(80);
  for (const stop of [1, 9, 10, 33, 34, 35, 70]) {
    const position = JSON.parse(JSON.stringify((whole[stop - 1] as TokenTurn).position)) as BatchPosition;
    assert.deepEqual(await take(80 - stop, position), whole.slice(stop), String(stop));
  }
});

test('an epoch has an example as often as its weight says, each copy under an index of its own', async () => {
  const weighted = mkdtempSync(join(tmpdir(), 'mm-weighted-tokens-'));
  try {
    const { dvae, imageSize, grid, vocabulary, source } = manifest;
    const layout = { dvae, imageSize, grid, vocabulary, source, shardSize: 5 };
    const folder = await TokenFolder.open(weighted, layout, { resume: false, warn: assert.fail, images: 10 });
    for (const shard of [0, 1]) {
      const samples = Array.from({ length: 5 }, (_, i) => ({
        ...{ index: 5 * shard + i, key: `${5 * shard + i}`, file: 'x', rows: 2, columns: 2 },
        captions: ['x'],
        codes: Uint16Array.of(1, 2, 3, 4),
        ...(i === 2 && { weight: 3 }),
      }));
      await folder.write(shard, samples, []);
    }
    await folder.finish();
    const options = { share: 0, buffer: 5, copies: 3, faults: new Faults() };
    const set = shardedTokens(weighted, await readFinishedManifest(weighted), options);
    const epoch: TokenTurn[] = [];
    for await (const turn of set.turns(1))
      if (turn.epoch > 0) break;
      else epoch.push(turn);
    const indices = epoch.map(({ example }) => example.index).sort((a, b) => a - b);
    assert.deepEqual(indices, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 17, 22, 27]);
    const keys = new Set(epoch.map(({ example }) => example.key));
    assert.ok(keys.size === 14 && keys.has('2#2') && keys.has('7#3'));
  } finally {
    rmSync(weighted, { recursive: true });
  }
});

test('held-out examples are the first of those that are not trained on', async () => {
  const held = all.filter((index) => isValidation(keyOf(index), SHARE)).map(keyOf);
  assert.ok(held.length > 4);
  assert.deepEqual((await heldOutTokens(path, manifest, SHARE, 4)).keys, held.slice(0, 4));
  assert.deepEqual((await heldOutTokens(path, manifest, 0, 3)).keys, all.slice(0, 3).map(keyOf));
});

test('a validation split is found at the end of a source that says its splits', async () => {
  const split = mkdtempSync(join(tmpdir(), 'mm-split-tokens-'));
  try {
    const { dvae, imageSize, grid, vocabulary, source } = manifest;
    const layout = { dvae, imageSize, grid, vocabulary, source, shardSize: 1 };
    const folder = await TokenFolder.open(split, layout, { resume: false, warn: assert.fail, images: 22 });
    for (let index = 0; index < 22; index++) {
      const sample = { index, key: keyOf(index), file: 'x', rows: 2, columns: 2, captions: ['x'] };
      const part = index < 20 ? ('train' as const) : ('validation' as const);
      await folder.write(index, [{ ...sample, codes: Uint16Array.of(1, 2, 3, 4), split: part }], []);
    }
    await folder.finish();
    const held = await heldOutTokens(split, await readFinishedManifest(split), SHARE, 4);
    assert.deepEqual(held.keys, ['k20', 'k21']);
  } finally {
    rmSync(split, { recursive: true });
  }
});

test('a shard that is damaged while it is trained on ends the run with its name', async () => {
  const file = join(path, 'shard-000005.tar');
  writeFileSync(file, 'damaged');
  await assert.rejects(take(2 * trained.length), { code: 'E_TOKENS_DAMAGED', where: file });
});
