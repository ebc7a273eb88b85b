// npm test: installs, builds and fetches what is missing, then the type check, the linter and every test.
// npm test -- test/unit/data [--test-name-pattern=…] runs only those tests, without the checks.

import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bootstrap, root, run, stage } from './bootstrap.mjs';

const parameters = process.argv.slice(2);
const options = parameters.filter((parameter) => parameter.startsWith('-'));
const filters = parameters.filter((parameter) => !parameter.startsWith('-'));

const tests = readdirSync(`${root}/test`, { recursive: true })
  .map((path) => `test/${path.replaceAll('\\', '/')}`)
  .filter((path) => path.endsWith('.test.ts'))
  .filter(
    (path) => filters.length === 0 || filters.some((filter) => path.includes(filter.replace(/^\.\//, ''))),
  );
if (tests.length === 0) {
  process.stderr.write(`error: no test file has ${filters.join(' or ')} in its path\n`);
  process.exit(2);
}

await bootstrap();
let checks = 0;
if (filters.length === 0) {
  await stage('checks', () => {
    checks = run('npm', 'run', '--silent', 'check');
  });
}
process.stderr.write(`▸ tests (${tests.length} files)\n`);
// Tests of commands need not compile the program each time they start it.
process.env.MM_TEST_BUILT = '1';
const transpiled = mkdtempSync(join(tmpdir(), 'mm-transpiled-'));
process.env.MM_TRANSPILED = transpiled;
try {
  const { transpile } = await import('./typescript/transpile.mjs');
  await transpile(root, transpiled);
  const runner = ['--enable-source-maps', 'scripts/run-tests.mjs', ...options];
  process.exitCode = run(process.execPath, ...runner, ...tests) || checks;
} finally {
  // Processes that a stopped run leaves behind may still write here.
  rmSync(transpiled, { recursive: true, force: true, maxRetries: 5 });
}
