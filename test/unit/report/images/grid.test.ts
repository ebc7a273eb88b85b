import assert from 'node:assert/strict';
import { test } from 'node:test';
import sharp from 'sharp';
import { imageGrid, RIGHT, WRONG } from '../../../../src/report/images/grid.ts';
import type { GridCell, Rgb } from '../../../../src/report/images/grid-layout.ts';

const solid = (color: Rgb, width: number, height: number, extra: Partial<GridCell> = {}): GridCell => ({
  pixels: Uint8Array.from({ length: width * height * 3 }, (_, index) => color[index % 3]!),
  width,
  height,
  ...extra,
});

interface Canvas {
  width: number;
  height: number;
  /** Pixels of exactly this colour. */
  box(color: Rgb): { count: number; left: number; top: number; right: number; bottom: number };
}

async function open(png: Buffer): Promise<Canvas> {
  const { data, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true });
  assert.equal(info.channels, 3);
  return {
    width: info.width,
    height: info.height,
    box(color) {
      const found = { count: 0, left: info.width, top: info.height, right: -1, bottom: -1 };
      for (let at = 0; at < data.length; at += 3) {
        if (data[at] !== color[0] || data[at + 1] !== color[1] || data[at + 2] !== color[2]) continue;
        const x = (at / 3) % info.width;
        const y = Math.floor(at / 3 / info.width);
        found.count++;
        found.left = Math.min(found.left, x);
        found.right = Math.max(found.right, x);
        found.top = Math.min(found.top, y);
        found.bottom = Math.max(found.bottom, y);
      }
      return found;
    },
  };
}

const RED: Rgb = [200, 10, 10];
const GREEN: Rgb = [10, 200, 10];
const BLUE: Rgb = [10, 10, 200];

test('images are placed in rows, in the order given, enlarged by an integer', async () => {
  const grid = await open(
    await imageGrid([solid(RED, 32, 32), solid(GREEN, 32, 32), solid(BLUE, 32, 32)], { columns: 2 }),
  );
  const [red, green, blue] = [grid.box(RED), grid.box(GREEN), grid.box(BLUE)];
  for (const image of [red, green, blue]) assert.equal(image.count, 128 * 128);
  assert.ok(green.left > red.right && green.top === red.top);
  assert.ok(blue.top > red.bottom && blue.left === red.left);
});

test('nearest enlarging copies each pixel to a square', async () => {
  const pixels = Uint8Array.from([...RED, ...GREEN, ...BLUE, 1, 2, 3]);
  const grid = await open(await imageGrid([{ pixels, width: 2, height: 2 }], { columns: 1, scale: 8 }));
  assert.equal(grid.box(RED).count, 64);
  assert.equal(grid.box(GREEN).left, grid.box(RED).right + 1);
  assert.equal(grid.box(BLUE).top, grid.box(RED).bottom + 1);
});

test('images of several sizes share cells of the largest', async () => {
  const grid = await open(
    await imageGrid([solid(RED, 100, 20), solid(GREEN, 20, 100)], { columns: 2, scale: 1 }),
  );
  const [red, green] = [grid.box(RED), grid.box(GREEN)];
  assert.equal(red.count, 2000);
  assert.equal(green.count, 2000);
  assert.equal(red.top - green.top, 40);
});

test('borders surround their image; captions, titles and labels make room and leave ink', async () => {
  const bare = await open(await imageGrid([solid(RED, 64, 64), solid(BLUE, 64, 64)], { columns: 2 }));
  const dressed = await open(
    await imageGrid(
      [
        solid(RED, 64, 64, { border: RIGHT, caption: 'a red square' }),
        solid(BLUE, 64, 64, { border: WRONG, caption: 'دائرة <&> 🙂' }),
      ],
      { columns: 2, title: 'Samples', rowLabels: ['step 100'], columnLabels: ['left', 'right'] },
    ),
  );
  const red = dressed.box(RED);
  const border = dressed.box(RIGHT);
  assert.equal(red.count, 128 * 128);
  assert.deepEqual(
    [border.left, border.top, border.right, border.bottom],
    [red.left - 4, red.top - 4, red.right + 4, red.bottom + 4],
  );
  assert.ok(dressed.box(WRONG).count > 0);
  const ink: Rgb = [0x24, 0x29, 0x2f];
  assert.ok(bare.box(ink).count === 0 && dressed.box(ink).count > 20);
  assert.ok(dressed.height > bare.height + 60 && dressed.width > bare.width + 40);
  assert.ok(red.left > bare.box(RED).left && red.top > bare.box(RED).top);
});

test('a long caption stays inside the grid and above the next row', async () => {
  const caption = 'word '.repeat(200);
  const cells = [solid(RED, 16, 16, { caption }), solid(BLUE, 16, 16)];
  const grid = await open(await imageGrid(cells, { columns: 1, scale: 4 }));
  assert.equal(grid.box(RED).count, 64 * 64);
  assert.equal(grid.box(BLUE).count, 64 * 64);
});

test('no images, or pixels of another size, are refused', async () => {
  await assert.rejects(imageGrid([], { columns: 2 }), RangeError);
  await assert.rejects(
    imageGrid([{ pixels: new Uint8Array(10), width: 2, height: 2 }], { columns: 1 }),
    /expected 2 × 2 × 3 values, received 10/,
  );
});
