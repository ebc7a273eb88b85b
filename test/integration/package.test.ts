// The package as another program sees it: built, found by its name, with its types.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { writeImages, writeTinyDvae } from '../support/tiny-dvae.ts';
import { dalleConfig, dalleSession, writeTokenizer } from '../support/tiny-runs.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const TSC = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
const root = realpathSync(mkdtempSync(join(tmpdir(), 'mm-package-')));
const project = join(root, 'project');
const dalle = join(root, 'dalle');

const node = (...parameters: string[]) =>
  promisify(execFile)(process.execPath, parameters, { cwd: project, maxBuffer: 2 ** 24 });

before(async () => {
  const installed = join(project, 'node_modules', 'mm');
  mkdirSync(installed, { recursive: true });
  cpSync(join(ROOT, 'package.json'), join(installed, 'package.json'));
  symlinkSync(realpathSync(join(ROOT, 'node_modules')), join(installed, 'node_modules'));
  symlinkSync(realpathSync(join(ROOT, 'node_modules', '@types')), join(project, 'node_modules', '@types'));
  await node(TSC, '-p', join(ROOT, 'tsconfig.build.json'), '--outDir', join(installed, 'dist'));
  writeFileSync(join(project, 'package.json'), '{ "type": "module" }');
  const data = {
    path: join(root, 'images'),
    dvae: join(root, 'dvae'),
    tokenizer: join(root, 'tokenizer.json'),
  };
  await writeImages(data.path, 14);
  await writeTinyDvae(data.dvae);
  await writeTokenizer(data.tokenizer, data.path);
  await dalleSession(dalleConfig(data, 0, { steps: 2, samples: { count: 0 } }))(dalle);
});
after(() => rmSync(root, { recursive: true }));

test('a small program is type-checked: what is right passes, what is wrong does not', async () => {
  writeFileSync(
    join(project, 'program.ts'),
    `import { sample, DataError, EngineError, UsageError, UserError, type SampleOptions, type SampledImage } from 'mm';
const options: SampleOptions = {
  dalle: 'runs/dalle', prompts: ['a red circle'], negative: 'blue', guidance: 3, topK: 0.9,
  prime: { image: new Uint8Array(3), rows: 4 }, signal: new AbortController().signal,
  onProgress: (done: number, total: number) => console.log(done / total),
  onPreview: async (images) => console.log(images[0]?.pixels.length),
};
for await (const image of sample(options)) {
  const known: SampledImage = image;
  const pixels: Uint8Array = known.pixels;
  const score: number | undefined = image.score;
  const file: Uint8Array = await image.png();
  console.log(pixels, score, file, image.prompt.toUpperCase(), image.metadata.model);
  // @ts-expect-error: a prompt is a text, so it is not without a type
  const wrong: number = image.prompt;
  console.log(wrong);
}
// @ts-expect-error: there is no such option
sample({ dalle: 'runs/dalle', prompt: 'a red circle' });
for (const kind of [DataError, EngineError, UsageError]) console.log(new kind('x') instanceof UserError, new kind('x').exitCode);
`,
  );
  writeFileSync(
    join(project, 'tsconfig.json'),
    JSON.stringify({
      compilerOptions: {
        target: 'ES2023',
        module: 'NodeNext',
        strict: true,
        exactOptionalPropertyTypes: true,
        noEmit: true,
        types: ['node'],
      },
      files: ['program.ts'],
    }),
  );
  const checked = await node(TSC, '-p', '.').catch((error: { stdout: string }) => error);
  assert.equal(checked.stdout, '');
});

test('a small program draws; the names are these and no others', async () => {
  writeFileSync(
    join(project, 'program.mjs'),
    `import * as mm from 'mm';
const images = [];
for await (const { prompt, seed, size, png } of mm.sample({ dalle: process.argv[2], prompts: ['picture 1'], count: 2 }))
  images.push({ prompt, seed, size, bytes: (await png()).length > 100 });
let refused;
try { for await (const _ of mm.sample({ dalle: 'nowhere', prompts: ['a'] })); } catch (error) { refused = [error instanceof mm.DataError, error.message]; }
console.log(JSON.stringify({ names: Object.keys(mm).sort(), images, refused, exitCode: process.exitCode ?? null }));
`,
  );
  const { stdout, stderr } = await node('program.mjs', dalle);
  assert.equal(stderr, '');
  assert.deepEqual(JSON.parse(stdout), {
    names: ['DataError', 'EngineError', 'UsageError', 'UserError', 'sample'],
    images: [0, 1].map((seed) => ({ prompt: 'picture 1', seed, size: 16, bytes: true })),
    refused: [true, 'there is no such checkpoint'],
    exitCode: null,
  });
});
