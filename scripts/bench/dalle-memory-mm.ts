// A process of dalle-memory.ts. dalle-memory-mm.ts MODEL BATCH TRAIN process|allocator, where MODEL and TRAIN are
// sections as JSON and the last says whose memory is measured

import type { OpTime } from '../../src/engine/session/op-times.ts';
import { trainStep } from './dalle-train-step.ts';
import { megabytes } from './in-turn.ts';

const STEPS = 3;

/** Megabytes before the first step, when weights and moments are there, and at most. */
export interface Memory {
  readonly before: number;
  readonly most: number;
}

const [model = '{}', batch = '2', train = '{}', what = 'process'] = process.argv.slice(2);
// The allocator that counts, chosen before TensorFlow makes one.
if (what === 'allocator') process.env.TF_CPU_ALLOCATOR_USE_BFC = '1';
const step = await trainStep(JSON.parse(model), Number(batch), JSON.parse(train));
process.send?.(await (what === 'allocator' ? ofAllocator() : ofProcess()), () => process.disconnect());

async function ofProcess(): Promise<Memory> {
  const before = megabytes(process.pid, 'VmRSS') ?? Number.NaN;
  for (let at = 0; at < STEPS; at++) await step(at);
  return { before, most: megabytes(process.pid, 'VmHWM') ?? Number.NaN };
}

async function ofAllocator(): Promise<Memory> {
  await step(0);
  const times: OpTime[] = [];
  await step(1, times);
  const inUse = times.map(({ bytesInUse }) => bytesInUse / 2 ** 20).filter((bytes) => bytes > 0);
  return { before: Math.min(...inUse), most: Math.max(...inUse) };
}
