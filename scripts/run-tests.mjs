// Runs test files side by side, the slow folders first so that no long file is left for the end, and prints the slowest
// ten. `node --test` would take the files in alphabetical order. scripts/test.mjs starts it, with tsx:
//
//   node --import tsx scripts/run-tests.mjs [--test-name-pattern=REGEX] FILE…

import { availableParallelism, totalmem } from 'node:os';
import { relative } from 'node:path';
import { run } from 'node:test';
import { spec as Spec } from 'node:test/reporters';
import { parseArgs } from 'node:util';

const SLOW_FIRST = ['test/integration/train', 'test/cli', 'test/integration', 'test/parity', 'test/engine'];
/** Resident memory of the larger test files, in bytes. */
const FILE_MEMORY = 1.5e9;
const SHOWN = 10;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { 'test-name-pattern': { type: 'string', multiple: true, default: [] } },
});
const rank = (file) => {
  const place = SLOW_FIRST.findIndex((folder) => file.startsWith(`${folder}/`));
  return place < 0 ? SLOW_FIRST.length : place;
};
const files = positionals.toSorted((a, b) => rank(a) - rank(b));

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
    ([file, ms]) => `${(ms / 1000).toFixed(1).padStart(8)} s  ${relative('.', file)}`,
  );
  process.stderr.write(`\nslowest files\n${lines.join('\n')}\n`);
});
stream.compose(new Spec()).pipe(process.stdout);
