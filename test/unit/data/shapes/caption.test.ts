import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse } from 'yaml';
import { placedWordings, trainingCaption, wordings } from '../../../../src/data/shapes/caption.ts';
import type { SceneObject } from '../../../../src/data/shapes/scene.ts';
import { RELATIONS } from '../../../../src/data/shapes/vocabulary.ts';
import { words } from '../../../../src/tokenizers/text.ts';
import { RandomStream } from '../../../../src/util/random.ts';

const config = (name: string) =>
  parse(readFileSync(new URL(`../../../../configs/${name}/demo.yaml`, import.meta.url), 'utf8'));

test('the longest caption of a training scene fits in the texts of the demo', () => {
  const object: SceneObject = { colour: 'red', shape: 'circle', size: 'small', striped: true };
  const counts = RELATIONS.flatMap((relation) =>
    [
      ...wordings({ objects: [object, object], relation }),
      ...Object.values(placedWordings({ objects: [object, object], relation })).flat(),
    ].map((caption) => words(caption).length),
  );
  // Every word of the captions is a token.
  const longest = Math.max(...counts);
  assert.equal(config('dalle').model.textLength, longest);
  assert.ok(config('clip').model.text.length >= longest + 2); // its start and its end
});

test('a training caption may give each of two objects its place, and no prompt does', () => {
  const objects: SceneObject[] = [
    { colour: 'red', shape: 'circle' },
    { colour: 'blue', shape: 'square', size: 'small' },
  ];
  assert.deepEqual(placedWordings({ objects, relation: 'right' }), {
    both: [
      'a red circle on the right and a small blue square on the left',
      'a small blue square on the left and a red circle on the right',
    ],
    one: [
      'a red circle on the right and a small blue square',
      'a small blue square and a red circle on the right',
    ],
  });
  const scene = { objects, relation: 'below' } as const;
  const { both, one } = placedWordings(scene);
  const placed = [...both, ...one];
  assert.deepEqual(placed, [
    'a red circle at the bottom and a small blue square at the top',
    'a small blue square at the top and a red circle at the bottom',
    'a red circle at the bottom and a small blue square',
    'a small blue square and a red circle at the bottom',
  ]);
  const drawn = Array.from({ length: 200 }, (_, i) => trainingCaption(scene, new RandomStream(i)));
  assert.deepEqual(new Set(drawn), new Set([...wordings(scene), ...placed]));
  assert.ok(placed.every((caption) => !wordings(scene).includes(caption)));
});

test('training captions name either object of a relation first, equally often', () => {
  const objects: SceneObject[] = [
    { colour: 'red', shape: 'circle' },
    { colour: 'blue', shape: 'square' },
  ];
  for (const relation of RELATIONS) {
    const scene = { objects, relation };
    const drawn = Array.from({ length: 1000 }, (_, i) => trainingCaption(scene, new RandomStream(i)));
    const related = drawn.filter((caption) => wordings(scene).includes(caption));
    const after = related.filter((caption) => caption.includes(' square with '));
    const share = after.length / related.length;
    assert.ok(Math.abs(share - 0.5) < 0.08, `${relation}: ${share}`);
  }
});
