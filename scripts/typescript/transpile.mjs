// Removes the types of every program once, for all processes of a test run: tsx would do it in each of them again.

import { readdirSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { transform } from 'esbuild';

const FOLDERS = ['src', 'test', 'scripts'];
const OPTIONS = { loader: 'ts', format: 'esm', target: 'node20', sourcemap: 'inline', sourcesContent: false };

/** The JavaScript of a file, with its source map. */
export async function transpileFile(sourcefile) {
  const { code } = await transform(await readFile(sourcefile, 'utf8'), { ...OPTIONS, sourcefile });
  return code;
}

/** Writes the JavaScript of ROOT/a/b.ts to OUT/a/b.js; a second or two for all files. */
export async function transpile(root, out) {
  const paths = FOLDERS.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true })
      .filter((path) => path.endsWith('.ts'))
      .map((path) => join(folder, path)),
  );
  await Promise.all(
    paths.map(async (path) => {
      const made = join(out, path.replace(/ts$/, 'js'));
      await mkdir(dirname(made), { recursive: true });
      await writeFile(made, await transpileFile(join(root, path)));
    }),
  );
}
