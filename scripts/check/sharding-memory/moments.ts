// The bytes of Adam's moments that each device holds, with as many devices: what the session returns of its variables
// after an update of the joint Transformer.

import type { DalleConfig } from '../../../src/config/dalle.ts';
import { eachReplica } from '../../../src/engine/distributed/replicas.ts';
import type { HostTensor } from '../../../src/engine/native/tensor.ts';
import { compileReplicated } from '../../../src/engine/session/replicated.ts';
import { Runtime } from '../../../src/engine/session/runtime.ts';
import { type ShardedStep, shardedStep } from './step.ts';

/** @returns bytes of each device */
export async function momentBytes(config: DalleConfig, devices: number): Promise<number[]> {
  const numbers = Array.from({ length: devices }, (_, i) => i);
  const runtime = new Runtime({ devices: { kind: 'CPU', numbers } });
  try {
    const sharded = await shardedStep(runtime, config);
    await sharded.step(0);
    return await bytesOf(runtime, sharded);
  } finally {
    await runtime.close();
  }
}

async function bytesOf(runtime: Runtime, { optimizer }: ShardedStep): Promise<number[]> {
  const { variables } = optimizer.slicedMoments ?? optimizer.moments;
  const read = compileReplicated(runtime, 'moments', () => ({
    each: eachReplica(() =>
      Object.fromEntries(variables.map((variable) => [variable.name.replaceAll('/', ' '), variable.read()])),
    ),
    common: {},
  }));
  const { each } = await read(
    runtime.replicas.names.map(() => ({})),
    {},
  );
  return each.map((tensors) =>
    Object.values(tensors as Record<string, HostTensor>).reduce((sum, { data }) => sum + data.byteLength, 0),
  );
}
