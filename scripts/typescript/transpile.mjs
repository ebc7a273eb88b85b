// Writes the JavaScript of every program once, for all processes of a test run: a loader would ask its own thread
// for each file, in each process again. Paths that the code takes from `import.meta` stay those of the sources.

import { readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { transform } from 'esbuild';

const FOLDERS = ['src', 'test', 'scripts'];
const OPTIONS = { loader: 'ts', format: 'esm', target: 'node20', sourcemap: 'inline', sourcesContent: false };

/** Imports of the program's own files, as esbuild prints them. */
const OWN_IMPORT = /(\bfrom |\bimport |\bimport\()"(\.{1,2}\/[^"]+)\.ts"/g;
/**
 * Packages that `npm run build` has joined into one file: from node_modules they are hundreds of files, with source maps
 * of many megabytes that each process would read.
 */
const BUNDLE = /"\.\.\/bundled\/([\w-]+\.cjs)"/g;

async function javaScriptOf(sourcefile, root) {
  const define = {
    'import.meta.url': JSON.stringify(pathToFileURL(sourcefile).href),
    'import.meta.filename': JSON.stringify(sourcefile),
    'import.meta.dirname': JSON.stringify(dirname(sourcefile)),
  };
  const { code } = await transform(await readFile(sourcefile, 'utf8'), { ...OPTIONS, define, sourcefile });
  const bundle = (_, name) => JSON.stringify(join(root, 'dist/engine/bundled', name));
  return code.replaceAll(OWN_IMPORT, '$1"$2.js"').replaceAll(BUNDLE, bundle);
}

/** Writes the JavaScript of ROOT/a/b.ts to OUT/a/b.js; a second or two for all files. Needs the build. */
export async function transpile(root, out) {
  const paths = FOLDERS.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true })
      .filter((path) => path.endsWith('.ts'))
      .map((path) => join(folder, path)),
  );
  // Packages are found as the sources find them.
  symlinkSync(join(root, 'node_modules'), join(out, 'node_modules'), 'junction');
  writeFileSync(join(out, 'package.json'), '{ "type": "module" }');
  await Promise.all(
    paths.map(async (path) => {
      const made = join(out, path.replace(/ts$/, 'js'));
      await mkdir(dirname(made), { recursive: true });
      await writeFile(made, await javaScriptOf(join(root, path), root));
    }),
  );
}
