// open_clip's side of clip-encode.ts: a Python process that is asked for one batch at a time.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { serve } from './in-turn.ts';

const [python, script, model, folder] = process.argv.slice(2) as [string, string, string, string];

await serve(async () => {
  const child = spawn(python, [script, 'serve', model, folder], { stdio: ['pipe', 'pipe', 'inherit'] });
  process.on('disconnect', () => child.stdin.end());
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<string> => {
    const { value, done } = await lines.next();
    if (done) throw new Error('open_clip ended');
    return value;
  };
  await next(); // ready
  return async () => {
    child.stdin.write('\n');
    const [, value] = JSON.parse(await next()) as [milliseconds: number, value: number];
    return value;
  };
});
