// A Python side of a bench: a process that does one step for each line it reads, and answers with a number.
// python-side.ts PYTHON SCRIPT ARGUMENTS…, with the script's path relative to this folder

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { serve } from './in-turn.ts';

const [python = '', script = '', ...args] = process.argv.slice(2);

await serve(async () => {
  const path = fileURLToPath(new URL(script, import.meta.url));
  const child = spawn(python, [path, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  process.once('disconnect', () => child.kill());
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<string> => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${python} ${script} ended`);
    return value;
  };
  await next();
  const run = async (step: number): Promise<number> => {
    child.stdin.write(`${step}\n`);
    return Number(await next());
  };
  return { run, pid: child.pid as number };
});
