// The program as its users have it: started by its command line, from the sources. Nothing of it is imported, because a
// check of what a refactoring keeps must not depend on where files lie.

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';

const ROOT = new URL('../../../', import.meta.url);

/** The source of what bin/mm.js starts, which would be as old as the last build. */
function entry(): string {
  const built = /'\.\.\/dist\/(.+?)\.js'/.exec(readFileSync(new URL('bin/mm.js', ROOT), 'utf8'))?.[1];
  if (built === undefined) throw new Error('bin/mm.js does not say what it starts');
  return new URL(`src/${built}.ts`, ROOT).href;
}

const START = `const { main } = await import('${entry()}'); await main(process.argv.slice(1))`;

/** Sums over many numbers depend on how many threads share them; so they are as many on every machine. */
export const THREADS = 2;

/** Runs `mm …flags` in the folder `cwd`; returns what it prints. */
export async function mm(cwd: string, flags: readonly string[]): Promise<string> {
  const node = ['--import', import.meta.resolve('tsx'), '--input-type=module', '-e', START, '--'];
  const child = spawn(process.execPath, [...node, ...flags], {
    cwd,
    env: { ...process.env, TF_NUM_INTRAOP_THREADS: String(THREADS) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  if (code !== 0) throw new Error(`mm ${flags.join(' ')} ended with ${code}\n${stderr}`);
  return stdout;
}
