// Positions at another length against open_clip's; scripts/fixtures/open_clip_folders.py wrote them.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { resizeGrid, resizeLine } from '../../../src/convert/clip/positions.ts';

const cases: { kind: 'image' | 'text'; from: number; to: number; table: number[]; resized: number[] }[] =
  JSON.parse(
    readFileSync(new URL('../../parity/fixtures/open-clip/positions.json', import.meta.url), 'utf8'),
  );
const WIDTH = 4;

for (const { kind, from, to, table, resized } of cases) {
  test(`${kind} positions from ${from} to ${to} equal open_clip's within 1e-5`, () => {
    const resize = kind === 'image' ? resizeGrid : resizeLine;
    const found = resize(Float32Array.from(table), WIDTH, from, to);
    assert.equal(found.length, resized.length);
    const worst = Math.max(...resized.map((value, i) => Math.abs(value - (found[i] as number))));
    assert.ok(worst < 1e-5, `${worst}`);
  });
}
