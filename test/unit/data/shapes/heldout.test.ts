import assert from 'node:assert/strict';
import { test } from 'node:test';
import { captionOf, wordings } from '../../../../src/data/shapes/caption.ts';
import {
  HELD_OUT_PAIRINGS,
  HELD_OUT_PAIRS,
  heldOutPrompts,
  isHeldOutPair,
  isHeldOutPairing,
  SEEN_OBJECTS,
} from '../../../../src/data/shapes/heldout.ts';
import { KIND_SHARES, randomScene } from '../../../../src/data/shapes/random-scene.ts';
import type { Scene } from '../../../../src/data/shapes/scene.ts';
import { RELATIONS, SHAPES } from '../../../../src/data/shapes/vocabulary.ts';
import { RandomStream } from '../../../../src/util/random.ts';

const scenes = Array.from({ length: 20_000 }, (_, i) => randomScene(new RandomStream('test', i)));

test('six pairs are held out: every shape once, six colours', () => {
  assert.deepEqual(HELD_OUT_PAIRS.map((pair) => pair.shape).sort(), [...SHAPES].sort());
  assert.equal(new Set(HELD_OUT_PAIRS.map((pair) => pair.colour)).size, 6);
  assert.equal(SEEN_OBJECTS.length, 42);
});

test('the held-out lists are the published ones', () => {
  assert.deepEqual(
    HELD_OUT_PAIRS.map(({ colour, shape }) => `${colour} ${shape}`),
    ['yellow circle', 'pink square', 'green triangle', 'black diamond', 'purple cross', 'blue ring'],
  );
  assert.equal(HELD_OUT_PAIRINGS.length, 86);
  assert.deepEqual(HELD_OUT_PAIRINGS[0], [
    { colour: 'orange', shape: 'circle' },
    { colour: 'green', shape: 'ring' },
  ]);
});

test('training scenes show nothing that is held out', () => {
  for (const { objects, relation } of scenes) {
    assert.ok(objects.every((object) => !isHeldOutPair(object)));
    if (relation !== undefined) assert.ok(!isHeldOutPairing(objects[0]!, objects[1]!));
  }
});

test('held-out pairings are unordered', () => {
  const [a, b] = HELD_OUT_PAIRINGS[0]!;
  assert.ok(isHeldOutPairing(a, b) && isHeldOutPairing(b, a));
});

test('training scenes show all 42 seen objects, and nearly every other pairing', () => {
  const names = new Set(scenes.flatMap(({ objects }) => objects.map((o) => `${o.colour} ${o.shape}`)));
  assert.equal(names.size, 42);
  const pairings = new Set(
    scenes
      .filter((scene) => scene.relation)
      .map(({ objects }) =>
        objects
          .map((o) => `${o.colour} ${o.shape}`)
          .sort()
          .join(),
      ),
  );
  assert.ok(pairings.size > 0.99 * (861 - 86), `${pairings.size}`);
});

test('the kinds of scenes occur in their shares', () => {
  const kind = ({ objects, relation, place }: Scene): string => {
    if (relation) return 'relation';
    if (objects.length > 1) return 'count';
    return place || objects[0]!.size ? 'placed' : 'single';
  };
  for (const [name, share] of Object.entries(KIND_SHARES)) {
    const found = scenes.filter((scene) => kind(scene) === name).length / scenes.length;
    assert.ok(Math.abs(found - share) < 0.015, `${name} ${found}`);
  }
});

test('captions are lower case, short, and at least five for every scene', () => {
  for (const scene of scenes.slice(0, 3000)) {
    const captions = wordings(scene);
    assert.ok(new Set(captions).size >= 5);
    for (const caption of captions) {
      assert.match(caption, /^[a-z ]+$/);
      assert.ok(caption.split(' ').length <= 24, caption);
      assert.doesNotMatch(caption, /\ba [aeiou]|\ban [^aeiou]| {2}/);
      for (const { colour, shape } of scene.objects)
        assert.ok(caption.includes(`${colour} ${shape}`), caption);
    }
  }
});

test('the wordings of a relation name the position of each object', () => {
  const scene: Scene = {
    objects: [
      { colour: 'red', shape: 'circle' },
      { colour: 'orange', shape: 'cross', size: 'large', striped: true },
    ],
    relation: 'left',
  };
  const captions = wordings(scene);
  assert.ok(captions.includes('a red circle to the left of a large striped orange cross'));
  assert.ok(captions.includes('a large striped orange cross with a red circle to its left'));
  assert.ok(captions.every((caption) => caption.includes('left')));
});

test('held-out scene prompts name a held-out pairing in every relation, and repeat for a seed', () => {
  const prompts = heldOutPrompts('scenes', 600, 3);
  assert.deepEqual(prompts, heldOutPrompts('scenes', 600, 3));
  assert.notDeepEqual(prompts, heldOutPrompts('scenes', 600, 4));
  for (const { prompt, scene } of prompts) {
    assert.ok(isHeldOutPairing(scene.objects[0]!, scene.objects[1]!));
    assert.ok(wordings(scene).includes(prompt));
    assert.doesNotMatch(prompt, /small|large|striped|two|three|four/);
  }
  assert.deepEqual(new Set(prompts.map(({ scene }) => scene.relation)), new Set(RELATIONS));
  const used = new Set(
    prompts.map(({ scene }) =>
      scene.objects
        .map((o) => o.colour + o.shape)
        .sort()
        .join(),
    ),
  );
  assert.equal(used.size, HELD_OUT_PAIRINGS.length);
});

test('held-out pair prompts show a pair alternately alone and with an object of training images', () => {
  const prompts = heldOutPrompts('pairs', 120, 0);
  prompts.forEach(({ scene }, i) => {
    assert.equal(scene.objects.length, 1 + (i % 2));
    assert.equal(scene.objects.filter(isHeldOutPair).length, 1);
    assert.equal(scene.relation !== undefined, i % 2 === 1);
  });
});

test('a caption is one of the scene’s wordings, chosen by the stream', () => {
  const scene = scenes.find((s) => s.relation)!;
  const drawn = new Set(Array.from({ length: 200 }, (_, i) => captionOf(scene, new RandomStream(i))));
  assert.deepEqual([...drawn].sort(), wordings(scene).sort());
});
