// Peak memory of a train step of the joint Transformer, by train.recompute, each in a separate process:
// 256 + 1024 tokens, width 512, 8 layers, batch 2.
//
//   node --import tsx scripts/bench/dalle-memory.ts [--only 'full attention'] [--json]
//       for each case the process's resident memory, and of it what TensorFlow's allocator says is in use (counted in
//       another process: the allocator that counts takes memory in its own way)

import { parseArgs } from 'node:util';
import { RECOMPUTES } from '../../src/config/fields.ts';
import { UsageError } from '../../src/util/errors.ts';
import type { Memory } from './dalle-memory-mm.ts';
import { FULL, LONG, PUBLISHED } from './dalle-models.ts';
import { runScript } from './script.ts';
import { Worker } from './worker.ts';

const BATCH = 2;

type Case = readonly [model: object, train: object];

const each = (name: string, model: object): Record<string, Case> =>
  Object.fromEntries(
    RECOMPUTES.map((recompute): [string, Case] => [`${name}, ${recompute}`, [model, { recompute }]]),
  );

const cases: Record<string, Case> = {
  ...each('full attention', FULL),
  ...each('row, column, conv', PUBLISHED),
  'row, column, conv, 4 layers, full': [{ ...PUBLISHED, layers: 4 }, { recompute: 'full' }],
  ...each('row, column, conv, reversible', { ...PUBLISHED, reversible: true }),
};

async function measure(name: string, [model, train]: Case, what: 'process' | 'allocator'): Promise<Memory> {
  const module = new URL('dalle-memory-mm.ts', import.meta.url);
  const args = [JSON.stringify({ ...LONG, ...model }), String(BATCH), JSON.stringify(train), what];
  return new Worker(name, module, args).receive<Memory>();
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { only: { type: 'string' }, json: { type: 'boolean' } } });
  const chosen = Object.entries(cases).filter(([name]) => name.startsWith(values.only ?? ''));
  if (chosen.length === 0)
    throw new UsageError(`--only is the prefix of one of: ${Object.keys(cases).join('; ')}`, {
      code: 'E_ARGUMENT',
    });
  for (const [name, sections] of chosen) {
    const ofProcess = await measure(name, sections, 'process');
    const ofAllocator = await measure(name, sections, 'allocator');
    if (values.json) console.log(JSON.stringify({ name, process: ofProcess, allocator: ofAllocator }));
    else {
      const told = ({ before, most }: Memory): string =>
        `${before.toFixed(0)} MB before a step, ${most.toFixed(0)} MB at most`;
      console.log(`${name}\n  process     ${told(ofProcess)}\n  TensorFlow  ${told(ofAllocator)}`);
    }
  }
}

await runScript(main);
