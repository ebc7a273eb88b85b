// Runs test files side by side, the slow folders first so that no long file is left for the end, and prints the slowest
// ten. `node --test` would take the files in alphabetical order, and start a process for each: for the small files that
// is most of their time, so those of a folder in TOGETHER share one. scripts/test.mjs starts it:
//
//   node --enable-source-maps scripts/run-tests.mjs [--test-name-pattern=REGEX] FILE…
//
// with the folder that typescript/transpile.mjs wrote in MM_TRANSPILED.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir, totalmem } from 'node:os';
import { join, relative } from 'node:path';
import { run } from 'node:test';
import { spec as Spec } from 'node:test/reporters';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const SLOW_FIRST = ['test/integration/train', 'test/cli', 'test/integration', 'test/parity', 'test/engine'];
/** Folders whose files share a process, but for those that change what the others see. */
const TOGETHER = [
  'test/unit',
  'test/integration/inference',
  'test/integration/models',
  'test/integration/nn',
  'test/integration/train/clip',
  'test/integration/train/dalle',
  'test/integration/train/dvae',
  'test/integration/train/optim',
  'test/engine',
  'test/parity',
];
/** Hooks around each test of the process, and changes of its environment. */
const ALONE = /^(beforeEach|afterEach)\(|\bprocess\.(env|chdir|exitCode)\b/m;
/** Resident memory of the larger test files, in bytes. */
const FILE_MEMORY = 1.5e9;
const SHOWN = 10;
const { MM_TRANSPILED } = process.env;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { 'test-name-pattern': { type: 'string', multiple: true, default: [] } },
});
const rank = (file) => {
  const place = SLOW_FIRST.findIndex((folder) => file.startsWith(`${folder}/`));
  return place < 0 ? SLOW_FIRST.length : place;
};
const scratch = mkdtempSync(join(tmpdir(), 'mm-tests-'));
process.on('exit', () => rmSync(scratch, { recursive: true }));

const transpiled = (file) => join(MM_TRANSPILED, file.replace(/ts$/, 'js'));

/** A file that imports the files of a folder. */
function together(folder, members) {
  const file = join(scratch, `${folder.replaceAll('/', '-')}.test.mjs`);
  const imports = members.map(
    (member) => `await import(${JSON.stringify(pathToFileURL(transpiled(member)))});\n`,
  );
  writeFileSync(file, imports.join(''));
  return file;
}

const folderOf = (file) =>
  TOGETHER.find((folder) => file.startsWith(`${folder}/`) && !ALONE.test(readFileSync(file, 'utf8')));
const sorted = positionals.toSorted((a, b) => rank(a) - rank(b));
const processes = new Map();
for (const file of sorted) {
  const key = folderOf(file) ?? file;
  processes.set(key, [...(processes.get(key) ?? []), file]);
}
const files = [...processes].map(([key, members]) =>
  members.length > 1 ? together(key, members) : transpiled(members[0]),
);

// One more than there are cores: a file waits for its processes and the disk now and then.
const byMemory = Math.max(1, Math.floor(totalmem() / FILE_MEMORY));
const stream = run({
  files,
  concurrency: Math.min(byMemory, availableParallelism() + 1),
  testNamePatterns: values['test-name-pattern'].map((pattern) => new RegExp(pattern)),
});

const milliseconds = new Map();
const add = ({ nesting, file, details }) => {
  if (nesting === 0 && file) milliseconds.set(file, (milliseconds.get(file) ?? 0) + details.duration_ms);
};
stream.on('test:pass', add);
stream.on('test:fail', (event) => {
  add(event);
  if (!event.todo) process.exitCode = 1;
});
stream.on('end', () => {
  const slowest = [...milliseconds].sort(([, a], [, b]) => b - a).slice(0, SHOWN);
  const lines = slowest.map(
    ([file, ms]) =>
      `${(ms / 1000).toFixed(1).padStart(8)} s  ${relative('.', file.replace(MM_TRANSPILED, process.cwd()))}`,
  );
  process.stderr.write(`\nslowest files\n${lines.join('\n')}\n`);
});
stream.compose(new Spec()).pipe(process.stdout);
