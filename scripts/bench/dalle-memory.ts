// Peak memory of a train step of the joint Transformer, with saved and with recomputed activations, each in a separate
// process: 256 + 1024 tokens, width 512, 8 layers, batch 2.
//
//   node --import tsx scripts/bench/dalle-memory.ts [--only full] [--json]
//       for each case the process's resident memory, and of it what TensorFlow's allocator says is in use (counted in
//       another process: the allocator that counts takes memory in its own way)

import { parseArgs } from 'node:util';
import { UsageError } from '../../src/util/errors.ts';
import type { Memory } from './dalle-memory-mm.ts';
import { FULL, LONG, PUBLISHED } from './dalle-models.ts';
import { runScript } from './script.ts';
import { Worker } from './worker.ts';

const BATCH = 2;

const cases: Record<string, [model: object, train: object]> = {
  full: [FULL, {}],
  'full, recompute': [FULL, { recompute: true }],
  'row, column, conv': [PUBLISHED, {}],
  'row, column, conv, recompute': [PUBLISHED, { recompute: true }],
  'the same, 4 layers': [{ ...PUBLISHED, layers: 4 }, { recompute: true }],
  'row, column, conv, reversible': [{ ...PUBLISHED, reversible: true }, {}],
  'row, column, conv, reversible, recompute': [{ ...PUBLISHED, reversible: true }, { recompute: true }],
};

async function measure(
  name: string,
  [model, train]: [object, object],
  what: 'process' | 'allocator',
): Promise<Memory> {
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
