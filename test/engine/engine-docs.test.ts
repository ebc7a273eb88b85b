// docs/ENGINE.md: its example runs as it is printed, and its numbers are those of the example.

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { transform } from 'esbuild';
import { programFile } from '../support/typescript.ts';
import { runProgram } from './program.ts';

const PAGE = new URL('../../docs/ENGINE.md', import.meta.url);
const MAX_LINES = 50;

/** Prints how many nodes the functions of the example have, as a row of the table in "Nodes" each. */
const COUNT_NODES = `
const float = (...shape: number[]) => ({ dtype: 'float32' as const, shape });
const forward = runtime.compile('forward', ({ x }: { x: Tensor }) => ({
  y: model(x, weights.map((weight) => weight.read())),
}));
for (const [name, { nodes }] of Object.entries({
  'model\` alone': forward.examine({ x: float(BATCH, 1) }),
  'train\`': train.examine({ x: float(BATCH, 1), y: float(BATCH, 1), rate: float() }),
  'initialize\`': initialize.examine(
    Object.fromEntries(weights.map(({ name, shape }) => [name, float(...shape)])),
  ),
}))
  console.log(\`| \\\`\${name} | \${nodes.length} |\`);
`;

test('the example of docs/ENGINE.md has under fifty lines, learns, and has the nodes of the table', async (t) => {
  const page = await readFile(PAGE, 'utf8');
  const [, example = ''] = /^## An example$[\s\S]*?^```ts\n([\s\S]*?)^```$/m.exec(page) ?? [];
  assert.ok(example.split('\n').length - 1 < MAX_LINES);
  const folder = await mkdtemp(join(tmpdir(), 'mm-engine-docs-'));
  t.after(() => rm(folder, { recursive: true }));
  const program = join(folder, 'example.mjs');
  const mapped = example
    .replaceAll(
      /from '(\.\.\/src\/[^']+)'/g,
      (_, path) => `from '${pathToFileURL(programFile(new URL(path, PAGE)))}'`,
    )
    .replace(/^await runtime\.close\(\);$/m, `${COUNT_NODES}$&`);
  await writeFile(program, (await transform(mapped, { loader: 'ts' })).code);
  const { code, stdout, stderr } = await runProgram(pathToFileURL(program));
  assert.equal(code, 0, stderr);

  const losses = Array.from(stdout.matchAll(/^step \d+: loss (.*)$/gm), ([, loss]) => Number(loss));
  assert.equal(losses.length, 6);
  assert.ok(losses[0]! > 1, `it starts at ${losses[0]}`);
  assert.ok(losses.at(-1)! < 0.01, `it ends at ${losses.at(-1)}`);
  const rows = stdout.split('\n').filter((line) => line.startsWith('|'));
  assert.equal(rows.length, 3);
  for (const row of rows) assert.ok(page.includes(row), row);
});
