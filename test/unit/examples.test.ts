// The examples of the pages, type-checked against the package's sources.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PAGES = ['README.md', 'docs/API.md'];

/** The TypeScript blocks of a page that import the package. */
function examplesOf(page: string): string[] {
  const text = readFileSync(join(ROOT, page), 'utf8');
  return Array.from(text.matchAll(/^```ts\n([\s\S]*?)^```$/gm), ([, code]) => code as string).filter((code) =>
    code.includes("from 'mm'"),
  );
}

test('each example of the pages that imports the package is type-checked', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mm-examples-'));
  try {
    const examples = PAGES.flatMap((page) => {
      const found = examplesOf(page);
      assert.ok(found.length > 0, `${page} has no example`);
      return found.map((code, i) => ({ name: `${page.replaceAll(/\W/g, '-')}-${i + 1}.ts`, code }));
    });
    for (const { name, code } of examples) writeFileSync(join(folder, name), code);
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
    const tsconfig = {
      extends: join(ROOT, 'tsconfig.json'),
      compilerOptions: { noEmit: true, paths: { mm: [join(ROOT, 'src', 'api', 'mm.ts')] } },
      include: [],
      files: examples.map(({ name }) => name),
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(tsconfig));
    const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
    const checked = await promisify(execFile)(process.execPath, [tsc, '-p', folder]).catch(
      (error: { stdout: string }) => error,
    );
    assert.equal(checked.stdout, '');
  } finally {
    rmSync(folder, { recursive: true });
  }
});
