import assert from 'node:assert/strict';
import { test } from 'node:test';
import sharp from 'sharp';
import { GEOMETRY } from '../../../../src/data/shapes/geometry.ts';
import { CANVAS, layoutScene } from '../../../../src/data/shapes/layout.ts';
import { randomScene } from '../../../../src/data/shapes/random-scene.ts';
import { renderScenes } from '../../../../src/data/shapes/render.ts';
import { PLACES, SHAPES } from '../../../../src/data/shapes/vocabulary.ts';
import { RandomStream } from '../../../../src/util/random.ts';

const scenes = Array.from({ length: 4000 }, (_, i) => randomScene(new RandomStream('layout', i)));
const laidOut = scenes.map((scene, i) => {
  const placements = layoutScene(scene, new RandomStream('place', i));
  const boxes = placements.map(({ x, y, radius }, k) => {
    const { side, up, down } = GEOMETRY[scene.objects[k]!.shape].extent;
    return {
      left: x - side * radius,
      right: x + side * radius,
      top: y - up * radius,
      bottom: y + down * radius,
    };
  });
  return { scene, placements, boxes };
});

test('objects lie on the canvas', () => {
  for (const { boxes } of laidOut)
    for (const { left, right, top, bottom } of boxes)
      assert.ok(left > 0.49 && top > 0.49 && right < CANVAS - 0.49 && bottom < CANVAS - 0.49);
});

test('objects do not touch', () => {
  for (const { boxes } of laidOut)
    boxes.forEach((a, i) => {
      for (const b of boxes.slice(i + 1)) {
        const gap = Math.max(b.left - a.right, a.left - b.right, b.top - a.bottom, a.top - b.bottom);
        assert.ok(gap > 1.24, `${gap}`);
      }
    });
});

test('relations are unambiguous', () => {
  for (const { scene, placements } of laidOut) {
    if (scene.relation === undefined) continue;
    const [dx, dy] = [placements[1]!.x - placements[0]!.x, placements[1]!.y - placements[0]!.y];
    const along = { left: dx, right: -dx, above: dy, below: -dy }[scene.relation];
    const across = Math.abs(scene.relation === 'left' || scene.relation === 'right' ? dy : dx);
    assert.ok(along > 5 && across < 0.6 * along, `${scene.relation} ${dx} ${dy}`);
  }
});

test('a single object stands at the place of the caption', () => {
  for (const { scene, boxes } of laidOut) {
    if (scene.place === undefined) continue;
    const { left, right, top, bottom } = boxes[0]!;
    const third = (middle: number): number => Math.round((middle / CANVAS - 0.5) / 0.17 + 1);
    const [column, row] = [third((left + right) / 2), third((top + bottom) / 2)];
    const clamp = (value: number): number => Math.min(2, Math.max(0, value));
    assert.deepEqual([clamp(column), clamp(row)], PLACES[scene.place]);
  }
});

test('the path and the signed distance of a shape agree, and so does its area', async () => {
  const side = 256;
  for (const shape of SHAPES) {
    const { path, distance, area } = GEOMETRY[shape];
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${side}" height="${side}" viewBox="-1.5 -1.5 3 3"><path fill-rule="evenodd" d="${path}"/></svg>`;
    const alpha = await sharp(Buffer.from(svg)).extractChannel('alpha').raw().toBuffer();
    const pixel = 3 / side;
    let inside = 0;
    alpha.forEach((value, i) => {
      const x = ((i % side) + 0.5) * pixel - 1.5;
      const y = (Math.floor(i / side) + 0.5) * pixel - 1.5;
      const away = distance(x, y);
      inside += value / 255;
      if (Math.abs(away) > pixel) assert.equal(value > 127, away < 0, `${shape} at ${x}, ${y}`);
    });
    assert.ok(Math.abs(inside * pixel ** 2 - area) < 0.01, shape);
  }
});

test('more images than fit in a sheet are rendered in several', async () => {
  const drawings = Array.from({ length: 220 }, (_, i) => ({ scene: scenes[i % 5]!, key: [7, i] }));
  const images = await renderScenes(drawings, 32);
  assert.equal(images.length, 220);
  assert.deepEqual(images.at(-1), (await renderScenes(drawings.slice(-1), 32))[0]);
});

test('an image is the same in any sheet, and different for another key', async () => {
  const drawings = scenes.slice(0, 5).map((scene, i) => ({ scene, key: [7, i] }));
  for (const size of [20, 32]) {
    const together = await renderScenes(drawings, size);
    const alone = await renderScenes([drawings[3]!], size);
    assert.equal(together[3]!.length, size * size * 3);
    assert.deepEqual(together[3], alone[0]);
    assert.notDeepEqual((await renderScenes([{ ...drawings[3]!, key: [8, 3] }], size))[0], alone[0]);
  }
});
