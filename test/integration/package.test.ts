// The package as it is installed: packed, found by its name, with its types, its dependencies and no other package.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { dalleConfig, dalleSession, writeDalleData } from '../support/tiny-runs.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const TSC = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
const root = realpathSync(mkdtempSync(join(tmpdir(), 'mm-package-')));
const project = join(root, 'project');
const dalle = join(root, 'dalle');

const node = (...parameters: string[]) =>
  promisify(execFile)(process.execPath, parameters, { cwd: project, maxBuffer: 2 ** 24 });

interface Packed {
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}
interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly optionalDependencies: Readonly<Record<string, string>>;
}
let files: string[];
let manifest: Manifest;

/** Packs what is built and unpacks it where a program finds it, beside its dependencies and no other package. */
before(async () => {
  const npm = (...parameters: string[]) =>
    promisify(execFile)('npm', parameters, { cwd: ROOT, maxBuffer: 2 ** 24 });
  if (process.env.MM_TEST_BUILT !== '1') await npm('run', '--silent', 'build');
  const packages = join(project, 'node_modules');
  mkdirSync(packages, { recursive: true });
  const { stdout } = await npm('pack', '--json', '--pack-destination', root);
  const [packed] = JSON.parse(stdout) as [Packed];
  files = packed.files.map(({ path }) => path);
  await promisify(execFile)('tar', ['-xzf', join(root, packed.filename), '-C', root]);
  renameSync(join(root, 'package'), join(packages, 'mm'));
  manifest = JSON.parse(readFileSync(join(packages, 'mm', 'package.json'), 'utf8')) as Manifest;
  for (const name of Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies })) {
    const installed = join(ROOT, 'node_modules', name);
    if (name in manifest.optionalDependencies && !existsSync(installed)) continue;
    mkdirSync(dirname(join(packages, name)), { recursive: true });
    symlinkSync(realpathSync(installed), join(packages, name));
  }
  writeFileSync(join(project, 'package.json'), '{ "type": "module" }');
  const data = await writeDalleData(root, 14);
  await dalleSession(dalleConfig(data, 0, { steps: 2, samples: { count: 0 } }))(dalle);
});
after(() => rmSync(root, { recursive: true }));

test('the package holds what it needs and nothing else', () => {
  for (const path of [
    'bin/mm.js',
    'dist/cli/main.js',
    'dist/api/mm.js',
    'dist/api/mm.d.ts',
    'dist/engine/bundled/tfjs.cjs',
    'dist/engine/bundled/koffi.cjs',
    'dist/engine/bundled/NOTICE.txt',
    'configs/dalle/demo.yaml',
    'docs/CONFIG.md',
    'README.md',
    'LICENSE',
  ])
    assert.ok(files.includes(path), path);
  const expected = /^(bin|configs|docs|dist)\/|^(README|CHANGELOG)\.md$|^LICENSE$|^package\.json$/;
  assert.deepEqual(
    files.filter((path) => !expected.test(path) || path.endsWith('.map')),
    [],
  );
  const folder = join(project, 'node_modules', 'mm', 'dist', 'engine', 'bundled');
  const notice = readFileSync(join(folder, 'NOTICE.txt'), 'utf8');
  for (const name of ['tfjs', 'tfjs-core', 'tfjs-node-gpu'])
    assert.match(notice, new RegExp(`^@tensorflow/${name} [\\d.]+, Apache-2.0$`, 'm'));
  for (const words of [/^koffi [\d.]+, MIT$/m, /^seedrandom [\d.]+, MIT$/m, /^long [\d.]+, Apache-2.0$/m])
    assert.match(notice, words);
  assert.match(notice, /Apache License\s+Version 2\.0[\s\S]*END OF TERMS AND CONDITIONS/);
});

test('nothing that is installed runs a script', () => {
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean; hasInstallScript?: boolean }>;
  };
  const installed = Object.entries(lock.packages).filter(([path, { dev }]) => path !== '' && dev !== true);
  assert.ok(
    Object.keys(manifest.dependencies).every((name) => installed.some(([path]) => path.endsWith(name))),
  );
  assert.deepEqual(
    installed.filter(([, { hasInstallScript }]) => hasInstallScript),
    [],
  );
});

test('the program runs as installed', async () => {
  const mm = join(project, 'node_modules', 'mm', 'bin', 'mm.js');
  const { stdout } = await node(mm, 'doctor', '--json');
  const { findings } = JSON.parse(stdout) as { findings: { name: string; status: string }[] };
  for (const name of ['tfjs', 'sharp', 'koffi', 'self-test'])
    assert.equal(findings.find((finding) => finding.name === name)?.status, 'ok', name);
  assert.match(
    (await node(mm, 'plan', '--config', join(ROOT, 'configs/dalle/demo.yaml'))).stdout,
    /parameters/,
  );
});

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
for (const kind of [DataError, EngineError, UsageError]) console.log(new kind('x', { code: 'E_X' }) instanceof UserError, new kind('x', { code: 'E_X' }).exitCode);
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
        skipLibCheck: false,
        types: [],
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
