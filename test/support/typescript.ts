// How a child runs a program in TypeScript: by the loader that this process was started with, or, in a run of
// `npm test`, as the JavaScript that was made of it before.

import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const TRANSPILED = process.env.MM_TRANSPILED;

/** Node's options for a child that runs TypeScript, in any folder. */
export const TYPESCRIPT: readonly string[] = TRANSPILED
  ? ['--enable-source-maps']
  : process.execArgv.flatMap((option, i, all) => {
      if (option === '--import') return [option, import.meta.resolve(all[i + 1] as string)];
      if (option.startsWith('--import='))
        return ['--import', import.meta.resolve(option.slice('--import='.length))];
      return [];
    });

/** The file to run, or to import, for a program: of a source of this checkout its JavaScript, where there is one. */
export function programFile(program: URL): string {
  const source = fileURLToPath(program);
  if (!TRANSPILED || !source.startsWith(ROOT)) return source;
  return join(TRANSPILED, relative(ROOT, source)).replace(/ts$/, 'js');
}
