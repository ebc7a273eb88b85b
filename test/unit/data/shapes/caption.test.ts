import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse } from 'yaml';
import { wordings } from '../../../../src/data/shapes/caption.ts';
import type { SceneObject } from '../../../../src/data/shapes/scene.ts';
import { RELATIONS } from '../../../../src/data/shapes/vocabulary.ts';
import { words } from '../../../../src/tokenizers/text.ts';

const config = (name: string) =>
  parse(readFileSync(new URL(`../../../../configs/${name}/demo.yaml`, import.meta.url), 'utf8'));

test('the longest caption of a training scene fits in the texts of the demo', () => {
  const object: SceneObject = { colour: 'red', shape: 'circle', size: 'small', striped: true };
  const counts = RELATIONS.flatMap((relation) =>
    wordings({ objects: [object, object], relation }).map((caption) => words(caption).length),
  );
  // Every word of the captions is a token.
  const longest = Math.max(...counts);
  assert.equal(config('dalle').model.textLength, longest);
  assert.ok(config('clip').model.text.length >= longest + 2); // its start and its end
});
