import assert from 'node:assert/strict';
import { test } from 'node:test';
import sharp, { type Sharp } from 'sharp';
import { heldOutPrompts } from '../../../../src/data/shapes/heldout.ts';
import { measureScene } from '../../../../src/data/shapes/measure/measure.ts';
import { randomScene } from '../../../../src/data/shapes/random-scene.ts';
import { renderScenes } from '../../../../src/data/shapes/render.ts';
import type { Scene, SceneObject } from '../../../../src/data/shapes/scene.ts';
import { COLOUR_NAMES, RELATIONS, SHAPES } from '../../../../src/data/shapes/vocabulary.ts';
import { RandomStream } from '../../../../src/util/random.ts';

// Clean, blurred and recompressed images of 2,000 scenes pass too; the counts here keep the test short.
const COUNT = 240;

async function draw(scenes: readonly Scene[], size: number, seed = 0): Promise<Uint8Array[]> {
  const images: Uint8Array[] = [];
  for (let i = 0; i < scenes.length; i += 8) {
    const sheet = scenes.slice(i, i + 8).map((scene, k) => ({ scene, key: ['measure', seed, i + k] }));
    images.push(...(await renderScenes(sheet, size)));
  }
  return images;
}

type Damage = (pixels: Uint8Array, size: number, index: number) => Promise<Uint8Array>;

function raw(pixels: Uint8Array, size: number): Sharp {
  return sharp(pixels, { raw: { width: size, height: size, channels: 3 } });
}

const DAMAGES: Record<string, Damage> = {
  none: async (pixels) => pixels,
  'blur and noise': async (pixels, size, index) => {
    const random = new RandomStream('noise', index);
    const blurred = await raw(pixels, size).blur(0.7).raw().toBuffer();
    return Uint8Array.from(blurred, (value) => Math.min(255, Math.max(0, value + 6 * random.normal())));
  },
  'blur and JPEG': async (pixels, size) => {
    const jpeg = await raw(pixels, size).blur(0.7).jpeg({ quality: 80 }).toBuffer();
    return sharp(jpeg).raw().toBuffer();
  },
};

async function shareCorrect(
  images: readonly Uint8Array[],
  size: number,
  expected: readonly Scene[],
  damage: Damage = DAMAGES.none!,
): Promise<number> {
  let right = 0;
  for (const [i, pixels] of images.entries())
    right += Number(measureScene(await damage(pixels, size, i), size, expected[i]!).isCorrect);
  return right / images.length;
}

const heldOut = [...heldOutPrompts('scenes', COUNT / 2, 1), ...heldOutPrompts('pairs', COUNT / 2, 1)].map(
  ({ scene }) => scene,
);
const images = await draw(heldOut, 32);

for (const [name, damage] of Object.entries(DAMAGES)) {
  test(`rendered held-out scenes are correct: damage ${name}`, async () => {
    const share = await shareCorrect(images, 32, heldOut, damage);
    assert.ok(share >= (name === 'none' ? 0.99 : 0.98), `${share}`);
  });
}

test('rendered training scenes are correct, with sizes, stripes, counts and places', async () => {
  const scenes = Array.from({ length: COUNT }, (_, i) => randomScene(new RandomStream('train', i)));
  assert.ok((await shareCorrect(await draw(scenes, 32), 32, scenes)) >= 0.99);
});

for (const size of [48, 64]) {
  test(`rendered scenes are correct at ${size} pixels`, async () => {
    const scenes = heldOut.filter((_, i) => i % 6 === 0);
    assert.ok((await shareCorrect(await draw(scenes, size), size, scenes)) >= 0.99);
  });
}

const random = new RandomStream('wrong');
const other = <T>(items: readonly T[], than: T): T => random.choice(items.filter((item) => item !== than));
const change = (scene: Scene, changed: (object: SceneObject) => SceneObject): Scene => {
  const at = random.integer(scene.objects.length);
  return { ...scene, objects: scene.objects.map((object, i) => (i === at ? changed(object) : object)) };
};
const WRONG: Record<string, (scene: Scene) => Scene | undefined> = {
  'a colour': (scene) => change(scene, (o) => ({ ...o, colour: other(COLOUR_NAMES, o.colour) })),
  'a shape': (scene) => change(scene, (o) => ({ ...o, shape: other(SHAPES, o.shape) })),
  'the order': (scene) => (scene.relation ? { ...scene, objects: [...scene.objects].reverse() } : undefined),
  'the relation': (scene) =>
    scene.relation ? { ...scene, relation: other(RELATIONS, scene.relation) } : undefined,
  'which colour has which shape': ({ objects: [a, b], relation }) =>
    a && b && relation && a.colour !== b.colour && a.shape !== b.shape
      ? {
          objects: [
            { ...a, colour: b.colour },
            { ...b, colour: a.colour },
          ],
          relation,
        }
      : undefined,
  'an object less': ({ objects }) => ({
    objects: objects.length > 1 ? objects.slice(1) : [...objects, objects[0]!],
  }),
  'one more': ({ objects }) => ({ objects: [...objects, objects[0]!] }),
};

for (const [name, wrong] of Object.entries(WRONG)) {
  test(`an image is not correct for another scene: ${name} differs`, async () => {
    const cases = heldOut.flatMap((scene, i) => {
      const expected = wrong(scene);
      return expected ? [{ expected, pixels: images[i]! }] : [];
    });
    assert.ok(cases.length >= COUNT / 3);
    const share = await shareCorrect(
      cases.map(({ pixels }) => pixels),
      32,
      cases.map(({ expected }) => expected),
    );
    assert.ok(share <= 0.01, `${share}`);
  });
}

test('a mixture of two images, noise and an empty image are not correct', async () => {
  const mixed = images.map((a, i) => a.map((value, k) => (value + images[(i + 1) % COUNT]![k]!) / 2));
  assert.ok((await shareCorrect(mixed, 32, heldOut)) <= 0.01);
  const noise = new Uint8Array(32 * 32 * 3).map(() => random.integer(256));
  assert.equal(measureScene(noise, 32, heldOut[0]!).isCorrect, false);
  const empty = measureScene(new Uint8Array(32 * 32 * 3).fill(250), 32, heldOut[0]!);
  assert.deepEqual(empty, { colour: false, shape: false, place: false, isCorrect: false, found: [] });
});

test('colours, shapes and place are judged separately', () => {
  const index = heldOut.findIndex(({ objects: [a, b] }) => b !== undefined && a!.colour !== b.colour);
  const scene = heldOut[index]!;
  const [a, b] = scene.objects as [SceneObject, SceneObject];
  const judge = (expected: Scene) => {
    const { colour, shape, place, isCorrect } = measureScene(images[index]!, 32, expected);
    return { colour, shape, place, isCorrect };
  };
  assert.deepEqual(judge(scene), { colour: true, shape: true, place: true, isCorrect: true });
  assert.deepEqual(judge({ ...scene, objects: [b, a] }), {
    colour: true,
    shape: true,
    place: false,
    isCorrect: false,
  });
  const colour = COLOUR_NAMES.find((name) => name !== a.colour && name !== b.colour)!;
  assert.deepEqual(judge({ ...scene, objects: [{ ...a, colour }, b] }), {
    colour: false,
    shape: true,
    place: true,
    isCorrect: false,
  });
});

test('a measure has the objects found, with their positions', async () => {
  const scene: Scene = { objects: [{ colour: 'green', shape: 'ring' }], place: 'in the top left' };
  const [pixels] = await draw([scene], 32);
  const { found, isCorrect } = measureScene(pixels!, 32, scene);
  assert.ok(isCorrect);
  assert.equal(found.length, 1);
  assert.deepEqual([found[0]!.colour, found[0]!.shape], ['green', 'ring']);
  assert.ok(found[0]!.x < 0.42 && found[0]!.y < 0.42 && found[0]!.radius > 0.15);
});
