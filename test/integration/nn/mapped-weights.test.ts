// Weights that are mapped from their file against those that are copied out of it.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { Checkpoint } from '../../../src/checkpoint/checkpoint.ts';
import type { TensorData } from '../../../src/checkpoint/dtype.ts';
import type { Allocate } from '../../../src/checkpoint/in-order.ts';
import { SafetensorsFile } from '../../../src/checkpoint/safetensors.ts';
import { writeCheckpoint } from '../../../src/checkpoint/write.ts';
import { Runtime } from '../../../src/engine/session/runtime.ts';
import { type Tensor, tf } from '../../../src/engine/tfjs/tf.ts';
import { flatten, normal } from '../../../src/nn/parameters.ts';
import { Weights } from '../../../src/nn/weights.ts';
import { sizeOf } from '../../../src/util/shape.ts';

const isLinux = process.platform === 'linux';
const folder = mkdtempSync(join(tmpdir(), 'mm-mapped-'));
const path = join(folder, 'checkpoint');
const runtime = new Runtime();
after(async () => {
  await runtime.close();
  rmSync(folder, { recursive: true });
});

/** Two matrices of whole pages, one of them more than a read; one that is not; and vectors between them. */
const SPEC = {
  bias: normal([1024], 1),
  large: normal([2048, 2560], 1),
  odd: normal([3], 1),
  ragged: normal([513, 517], 1),
  whole: normal([512, 1024], 1),
};
const VALUES = new Map<string, TensorData>(
  flatten(SPEC).map(([name, { shape }], seed) => {
    const data = Float32Array.from({ length: sizeOf(shape) }, (_, i) => Math.sin(i + seed));
    return [name, { dtype: 'float32', shape, data }];
  }),
);
await writeCheckpoint(path, {
  ...{ kind: 'dalle', step: 1, seed: 1, dataPosition: null, metrics: {}, config: {} },
  model: VALUES,
});
const file = join(path, 'model.safetensors');

/** The part read as for variables, with the names of those that are mapped. */
function reading(weights: Weights): { readonly options: object; readonly mapped: string[] } {
  const mapped: string[] = [];
  const { expected, allocate } = weights.fileOptions;
  const noting: Allocate = (dtype, shape, from) => {
    const room = allocate(dtype, shape, from);
    if (room?.isMapped) mapped.push(expected.find(([, spec]) => `${spec.shape}` === `${shape}`)![0]);
    return room;
  };
  return { options: { expected, allocate: noting }, mapped };
}

/** The file as other programs, and mm before, place tensors: where the header happens to end. */
function withHeaderOf(extra: number, to: string): void {
  const bytes = readFileSync(file);
  const length = Number(bytes.readBigUInt64LE());
  const json = bytes
    .toString('utf8', 8, 8 + length)
    .trimEnd()
    .padEnd(length + extra);
  const start = Buffer.alloc(8);
  start.writeBigUInt64LE(BigInt(json.length));
  writeFileSync(to, Buffer.concat([start, Buffer.from(json), bytes.subarray(8 + length)]));
}

async function* inOrder(at: string, allocate: Allocate) {
  const opened = await SafetensorsFile.open(at);
  try {
    yield* opened.inOrder({ allocate });
  } finally {
    await opened.close();
  }
}

describe('weights of whole pages', () => {
  test('are mapped, equal those in the file, and leave it as it is when they are changed', async () => {
    const weights = new Weights(runtime, 'mapped', SPEC);
    const before = readFileSync(file);
    const checkpoint = await Checkpoint.open(path, { optimizer: false });
    // The second pass, of a part that is verified, reads no bytes of those that are mapped.
    for (const _ of [1, 2]) {
      const { options, mapped } = reading(weights);
      await weights.loadEach(checkpoint.tensors('model', options));
      assert.deepEqual(mapped.sort(), isLinux ? ['large', 'whole'] : []);
      assert.deepEqual(await weights.save(), VALUES);
    }
    const update = runtime.compile('update', ({ one }: { one: Tensor }) => {
      for (const variable of weights.variables) variable.add(tf.broadcastTo(one, [...variable.shape]));
      return {};
    });
    await update({ one: { dtype: 'float32', shape: [], data: Float32Array.of(1) } });
    const changed = await weights.save();
    for (const [name, { data }] of VALUES)
      assert.deepEqual(
        changed.get(name)!.data,
        (data as Float32Array).map((value) => value + 1),
        name,
      );
    assert.ok(readFileSync(file).equals(before));
  });

  test('are copied where they do not start with a page', async () => {
    const at = join(folder, 'shifted.safetensors');
    for (const extra of [8, 64, 4096]) {
      withHeaderOf(extra, at);
      const weights = new Weights(runtime, `shifted ${extra}`, SPEC);
      const { options, mapped } = reading(weights);
      await weights.loadEach(inOrder(at, (options as { allocate: Allocate }).allocate));
      assert.deepEqual(mapped.sort(), isLinux && extra === 4096 ? ['large', 'whole'] : []);
      assert.deepEqual(await weights.save(), VALUES);
    }
  });

  test('are refused as a whole where one bit of the file is another', async () => {
    const good = readFileSync(file);
    for (const place of [good.length - 5, good.length >> 1, 20 << 20]) {
      const damaged = Buffer.from(good);
      damaged[place]! ^= 1;
      writeFileSync(file, damaged);
      const weights = new Weights(runtime, `damaged ${place}`, SPEC);
      const checkpoint = await Checkpoint.open(path, { optimizer: false });
      await assert.rejects(weights.loadEach(checkpoint.tensors('model', weights.fileOptions)), {
        code: 'E_CHECKPOINT_DAMAGED',
        where: file,
      });
    }
    writeFileSync(file, good);
  });

  test('are refused with a file that is cut while it is open', async () => {
    const at = join(folder, 'cut.safetensors');
    withHeaderOf(4096, at);
    const opened = await SafetensorsFile.open(at);
    writeFileSync(at, readFileSync(at).subarray(0, -1_500_000));
    const { allocate } = new Weights(runtime, 'cut', SPEC).fileOptions;
    const pass = opened.inOrder({ allocate, onBytes: () => {} });
    await assert.rejects(
      async () => {
        for await (const _ of pass);
      },
      { code: 'E_FILE_DAMAGED', where: at },
    );
    await opened.close();
  });
});
