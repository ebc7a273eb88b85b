// Files of torch.save as mm writes them, read by mm; torch's own reading of them is in scripts/check/export.ts.

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { TensorSource } from '../../../src/checkpoint/safetensors.ts';
import { TorchFile } from '../../../src/convert/torch/file.ts';
import { stateDict } from '../../../src/convert/torch/state-dict.ts';
import { StateDictToWrite, type TorchValue, writeTorchFile } from '../../../src/convert/torch/write.ts';

let root: string;
before(() => {
  root = mkdtempSync(join(tmpdir(), 'mm-torch-write-'));
});
after(() => rmSync(root, { recursive: true }));

const WEIGHT: TensorSource = { dtype: 'float32', shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) };
const TENSORS = new Map<string, TensorSource>([
  ['weight', WEIGHT],
  ['half', { dtype: 'bfloat16', shape: [3], data: () => Uint16Array.of(1, 0x3f80, 0xffff) }],
  ['count', { dtype: 'int64', shape: [], data: BigInt64Array.of(-7n) }],
  ['tied', WEIGHT],
]);
const SETTINGS = new Map<string, TorchValue>(
  Object.entries({
    integers: [0, 255, 256, -1, 2 ** 31 - 1, -(2 ** 31), 2 ** 40, -(2 ** 40)],
    floats: [0.5, -1e-300, 3.25],
    texts: ['', 'Ü', 'x'.repeat(70_000)],
    others: [null, true, false],
    nested: new Map<string, TorchValue>([['empty', []]]),
  }),
);

test('settings and tensors are read as they were written, with their types', async () => {
  const path = join(root, 'model.pt');
  await writeTorchFile(
    path,
    new Map<string, TorchValue>([
      ['hparams', SETTINGS],
      ['weights', new StateDictToWrite(TENSORS)],
    ]),
  );
  const file = await TorchFile.open(path);
  try {
    const value = file.value as Map<string, never>;
    assert.deepEqual(value.get('hparams'), SETTINGS);
    const read = stateDict(value.get('weights')!, path);
    assert.deepEqual([...read.keys()], [...TENSORS.keys()]);
    for (const [name, { dtype, shape, data }] of TENSORS) {
      const made = await read.get(name)!.read();
      assert.deepEqual([made.dtype, made.shape], [dtype, shape], name);
      assert.deepEqual([...made.data], [...(typeof data === 'function' ? await data() : data)], name);
    }
  } finally {
    await file.close();
  }
});

test('tensors that are one are stored once, and each begins at a multiple of 64 bytes', async () => {
  const path = join(root, 'aligned.pt');
  await writeTorchFile(path, new StateDictToWrite(TENSORS));
  const bytes = readFileSync(path);
  const starts = ['data/0', 'data/1', 'data/2', 'data/3'].map((name) => {
    const at = bytes.indexOf(`archive/${name}`);
    if (at < 0) return undefined;
    const extra = bytes.readUInt16LE(at - 2);
    return (at + `archive/${name}`.length + extra) % 64;
  });
  assert.deepEqual(starts, [0, 0, 0, undefined]);
});

test('a tensor of another length than its shape leaves no file', async () => {
  const path = join(root, 'short.pt');
  const tensors = new Map([['a', { ...WEIGHT, data: Float32Array.of(1) }]]);
  await assert.rejects(writeTorchFile(path, new StateDictToWrite(tensors)), RangeError);
  assert.deepEqual(
    readdirSync(root).filter((name) => name.includes('short')),
    [],
  );
});
