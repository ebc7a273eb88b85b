// A PyTorch side of the bench of the joint Transformer, as a Python process that makes a step for each line it reads.
// dalle-step-torch.ts PYTHON KIND

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { serve } from './in-turn.ts';

const [python = '', kind = ''] = process.argv.slice(2);

await serve(async () => {
  const script = fileURLToPath(new URL('dalle_step.py', import.meta.url));
  const child = spawn(python, [script, kind], { stdio: ['pipe', 'pipe', 'inherit'] });
  process.once('disconnect', () => child.kill());
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<string> => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${python} ${kind} ended`);
    return value;
  };
  await next();
  return async (step) => {
    child.stdin.write(`${step}\n`);
    return Number(await next());
  };
});
