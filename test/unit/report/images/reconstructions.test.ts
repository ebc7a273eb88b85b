import assert from 'node:assert/strict';
import { test } from 'node:test';
import sharp from 'sharp';
import { imageGrid } from '../../../../src/report/images/grid.ts';
import { reconstructionGrid } from '../../../../src/report/images/reconstructions.ts';

const SIZE = 4;
const LENGTH = SIZE * SIZE * 3;
/** Images of one grey each. */
const batch = (...greys: number[]): Uint8Array =>
  Uint8Array.from({ length: greys.length * LENGTH }, (_, index) => greys[Math.floor(index / LENGTH)]!);
const cell = (grey: number) => ({ pixels: batch(grey), width: SIZE, height: SIZE });

test('each original is left of its reconstruction', async () => {
  const grid = await reconstructionGrid(batch(10, 20, 30, 40, 50), batch(15, 25, 35, 45, 55), SIZE);
  const expected = await imageGrid([10, 15, 20, 25, 30, 35, 40, 45, 50, 55].map(cell), {
    columns: 8,
    columnLabels: [1, 2, 3, 4].flatMap(() => ['original', 'reconstruction']),
  });
  assert.deepEqual(grid, expected);
});

test('a large batch shows its first sixteen pairs', async () => {
  const greys = Array.from({ length: 40 }, (_, index) => index);
  const grid = await reconstructionGrid(batch(...greys), batch(...greys), SIZE);
  const first = await reconstructionGrid(batch(...greys.slice(0, 16)), batch(...greys.slice(0, 16)), SIZE);
  assert.deepEqual(await sharp(grid).raw().toBuffer(), await sharp(first).raw().toBuffer());
});

test('batches that do not match are refused', async () => {
  await assert.rejects(reconstructionGrid(batch(1, 2), batch(1), SIZE), RangeError);
  await assert.rejects(reconstructionGrid(new Uint8Array(50), new Uint8Array(50), SIZE), RangeError);
});
