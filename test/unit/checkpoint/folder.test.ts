import assert from 'node:assert/strict';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { crc32 } from 'node:zlib';
import { z } from 'zod';
import { type Checkpoint, hashOf } from '../../../src/checkpoint/checkpoint.ts';
import type { TensorData } from '../../../src/checkpoint/dtype.ts';
import { type CheckpointReadOptions, loadCheckpoint, readCheckpoint } from '../../../src/checkpoint/read.ts';
import { RunCheckpoints } from '../../../src/checkpoint/run-checkpoints.ts';
import { type CheckpointContents, writeCheckpoint } from '../../../src/checkpoint/write.ts';
import { DataError, EXIT, formatUserError } from '../../../src/util/errors.ts';

let run: string;
let warnings: string[];
beforeEach(() => {
  run = mkdtempSync(join(tmpdir(), 'mm-checkpoint-'));
  warnings = [];
});
afterEach(() => rmSync(run, { recursive: true }));

const warn = (message: string): void => void warnings.push(message);
const tensor = (...values: number[]): TensorData => ({
  dtype: 'float32',
  shape: [values.length],
  data: Float32Array.from(values),
});
const CONTENTS: CheckpointContents = {
  kind: 'dvae',
  step: 7,
  seed: 3,
  dataPosition: { epoch: 1, offset: 40 },
  metrics: { loss: 0.5, psnr: Number.NaN },
  config: { seed: 3, model: { width: 8 } },
  model: [
    ['conv.weight', tensor(1, 2)],
    ['conv.bias', tensor(3)],
  ],
  ema: [
    ['conv.weight', tensor(1.5, 2.5)],
    ['conv.bias', tensor(3.5)],
  ],
  optimizer: [['m.conv.weight', tensor(0, 0)]],
};
const EXPECTED: [string, { shape: number[] }][] = [
  ['conv.weight', { shape: [2] }],
  ['conv.bias', { shape: [1] }],
];

const open = (path: string, options: Partial<CheckpointReadOptions> = {}): Promise<Checkpoint> =>
  readCheckpoint(path, { kind: 'dvae', warn, ...options });

async function save(step: number, contents: Partial<CheckpointContents> = {}): Promise<string> {
  const path = new RunCheckpoints(run).path(step);
  await writeCheckpoint(path, { ...CONTENTS, step, ...contents });
  return path;
}

interface State {
  readonly files: Record<string, { sha256: string; crc32?: string }>;
}
const stateOf = (path: string): State => JSON.parse(readFileSync(join(path, 'state.json'), 'utf8')) as State;
function rewriteState(path: string, change: (state: State) => void): void {
  const state = stateOf(path);
  change(state);
  writeFileSync(join(path, 'state.json'), JSON.stringify(state));
}
const FORMAT_1 = fileURLToPath(
  new URL('../../integration/fixtures/format-1/dvae/checkpoints/step-4', import.meta.url),
);

/** The whole message users see, of the DataError that `promise` must end in. */
async function failure(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof DataError, String((error as Error).stack));
    assert.equal(error.exitCode, EXIT.data);
    assert.ok(error.fix, 'says the fix');
    return formatUserError(error).replaceAll(run, 'RUN');
  }
  assert.fail('did not fail');
}

describe('a written checkpoint', () => {
  test('is read back: state, configuration and tensors', async () => {
    const checkpoint = await open(await save(7), { optimizer: true });
    const { step, seed, dataPosition, metrics, kind } = checkpoint.state;
    assert.deepEqual(
      { step, seed, dataPosition, metrics, kind },
      {
        step: 7,
        seed: 3,
        dataPosition: CONTENTS.dataPosition,
        metrics: { loss: 0.5, psnr: null },
        kind: 'dvae',
      },
    );
    assert.deepEqual(checkpoint.config(z.unknown()), CONTENTS.config);
    assert.deepEqual(
      await checkpoint.read('model', EXPECTED),
      new Map(CONTENTS.model as [string, TensorData][]),
    );
    assert.deepEqual((await checkpoint.read(checkpoint.bestPart)).get('conv.bias'), tensor(3.5));
    assert.deepEqual((await checkpoint.read('optimizer')).get('m.conv.weight'), tensor(0, 0));
  });

  test('has the weights as its best part when it has no EMA', async () => {
    const checkpoint = await open(await save(1, { ema: undefined }));
    assert.equal(checkpoint.bestPart, 'model');
    assert.match(await failure(checkpoint.read('ema')), /ema.*\n(.*\n)*.*E_CHECKPOINT_PART_MISSING/);
  });

  test('leaves no other file, and replaces an older checkpoint of the step', async () => {
    await save(7);
    const path = await save(7, { optimizer: undefined });
    assert.deepEqual(readdirSync(join(run, 'checkpoints')), ['step-7']);
    assert.deepEqual(readdirSync(path).sort(), [
      'config.yaml',
      'ema.safetensors',
      'model.safetensors',
      'state.json',
    ]);
  });

  test('is reproducible byte for byte', async () => {
    const [a, b] = [await save(1), await save(1)];
    for (const file of readdirSync(a))
      assert.deepEqual(readFileSync(join(a, file)), readFileSync(join(b, file)));
  });

  test('stays alone when a later write of its step is interrupted', async () => {
    const path = await save(7);
    const data = (): never => {
      throw new Error('the session is gone');
    };
    const model = [['x', { dtype: 'float32', shape: [1], data }]] as const;
    await assert.rejects(save(7, { model }), /the session is gone/);
    assert.deepEqual(readdirSync(join(run, 'checkpoints')), ['step-7']);
    await open(path, { optimizer: true });
  });

  test('has its 16-bit weights read as float32', async () => {
    const half: TensorData = { dtype: 'bfloat16', shape: [1], data: Uint16Array.of(0x3fc0) };
    const checkpoint = await open(await save(1, { model: [['x', half]] }));
    assert.deepEqual((await checkpoint.read('model')).get('x'), tensor(1.5));
  });
});

describe('a DALL·E checkpoint', () => {
  const tokenizer = { toJSON: () => ({ model: 'BPE' }) };

  test('carries its tokenizer and its dVAE, without the optimizer', async () => {
    const dvae = await open(await save(5));
    const path = join(run, 'dalle');
    await writeCheckpoint(path, { ...CONTENTS, kind: 'dalle', tokenizer, dvae });
    const moved = join(run, 'moved');
    cpSync(path, moved, { recursive: true });
    rmSync(path, { recursive: true });
    rmSync(dvae.path, { recursive: true });

    const dalle = await open(moved, { kind: 'dalle' });
    assert.deepEqual(JSON.parse(readFileSync(dalle.tokenizerFile, 'utf8')), { model: 'BPE' });
    const carried = await dalle.dvae();
    assert.equal(carried.has('optimizer'), false);
    assert.equal(carried.state.step, 5);
    assert.equal(hashOf(carried), hashOf(dvae));
    assert.deepEqual((await carried.read('ema')).get('conv.bias'), tensor(3.5));
    assert.equal((await open(join(moved, 'dvae'))).state.kind, 'dvae');
  });

  test('is damaged where its dVAE is', async () => {
    const path = join(run, 'dalle');
    await writeCheckpoint(path, { ...CONTENTS, kind: 'dalle', tokenizer, dvae: await open(await save(5)) });
    truncateSync(join(path, 'dvae', 'model.safetensors'), 100);
    assert.match(
      await failure(open(path, { kind: 'dalle' })),
      /has 100 bytes of \d+\n {2}at: {2}RUN\/dalle\/dvae\/model/,
    );
  });

  test('is not written with a dVAE that changed or went away', async () => {
    const dvae = await open(await save(5));
    const write = (): Promise<void> =>
      writeCheckpoint(join(run, 'dalle'), { ...CONTENTS, kind: 'dalle', dvae });
    writeFileSync(join(dvae.path, 'config.yaml'), 'seed: 4\n');
    assert.match(await failure(write()), /config\.yaml/);
    rmSync(dvae.path, { recursive: true });
    assert.match(await failure(write()), /a file of the dVAE is gone/);
    assert.deepEqual(readdirSync(run), ['checkpoints']);
  });
});

describe('hash', () => {
  test('follows the weights and their EMA, not the step or the optimizer', async () => {
    const hash = async (contents: Partial<CheckpointContents>): Promise<string> =>
      hashOf(await open(await save(1, contents)));
    const same = await hash({});
    assert.equal(await hash({ optimizer: undefined, seed: 9 }), same);
    assert.notEqual(await hash({ model: [['conv.weight', tensor(1, 2)]] }), same);
    assert.notEqual(await hash({ ema: undefined }), same);
  });
});

describe('a checkpoint that is verified as it is read', () => {
  const load = <T>(path: string, body: (checkpoint: Checkpoint) => Promise<T>): Promise<T> =>
    loadCheckpoint(path, { kind: 'dvae', warn }, body);
  /** Changes a byte of a file, counted from its end. */
  const damage = (path: string, fromEnd = 1): void => {
    const bytes = readFileSync(path);
    writeFileSync(path, bytes.with(bytes.length - fromEnd, (bytes.at(-fromEnd) as number) ^ 1));
  };
  const damaged = { code: 'E_CHECKPOINT_DAMAGED', where: /ema\.safetensors$/ };
  const inTurn = async (checkpoint: Checkpoint): Promise<string[]> => {
    const names: string[] = [];
    for await (const [name] of checkpoint.tensors('ema', { expected: EXPECTED })) names.push(name);
    return names;
  };
  const inPart = (checkpoint: Checkpoint): Promise<unknown> =>
    checkpoint.readSome('ema', (name) => name === 'conv.weight');

  const isDamaged = (error: DataError): boolean => {
    assert.equal(error.code, damaged.code);
    assert.match(error.where as string, damaged.where);
    return true;
  };

  for (const checksum of ['crc32', 'sha256'])
    test(`gives no whole part of a file that changed, wherever it changed: ${checksum}`, async () => {
      const path = await save(7);
      const file = join(path, 'ema.safetensors');
      const good = readFileSync(file);
      const record = stateOf(path).files['ema.safetensors'] as { crc32?: string; sha256: string };
      assert.equal(record.crc32, crc32(good).toString(16).padStart(8, '0'));
      // A checkpoint of before, or one of which only the CRC-32 can be right.
      rewriteState(path, (state) => {
        for (const kept of Object.values(state.files))
          if (checksum === 'sha256') delete kept.crc32;
          else if (kept.crc32) kept.sha256 = kept.sha256.replaceAll(/./g, '0');
      });
      for (const fromEnd of [1, 12, 20, good.length - 8, good.length - 1])
        for (const read of [inTurn, inPart]) {
          damage(file, fromEnd);
          await assert.rejects(load(path, read), isDamaged);
          writeFileSync(file, good);
        }
      assert.deepEqual(await load(path, inTurn), ['conv.weight', 'conv.bias']);
    });

  test('of before CRC-32s were written is verified by its SHA-256s', async () => {
    const path = join(run, 'format-1');
    cpSync(FORMAT_1, path, { recursive: true });
    const file = join(path, 'ema.safetensors');
    const good = readFileSync(file);
    for (const record of Object.values(stateOf(path).files)) assert.equal(record.crc32, undefined);
    const read = (checkpoint: Checkpoint) => checkpoint.read('ema');
    const names = [...(await load(path, read)).keys()];
    assert.ok(names.length > 10);
    damage(file, good.length >> 1);
    await assert.rejects(load(path, read), isDamaged);
    await assert.rejects(open(path), isDamaged);
  });

  test('is not held to files that nothing reads', async () => {
    const path = await save(7);
    damage(join(path, 'model.safetensors'));
    assert.deepEqual(await load(path, inTurn), ['conv.weight', 'conv.bias']);
    await assert.rejects(open(path), { code: 'E_CHECKPOINT_DAMAGED' });
  });

  test('of a run gives way to the one before it, where damage comes out late', async () => {
    for (const step of [1, 2]) await save(step);
    damage(join(new RunCheckpoints(run).path(2), 'ema.safetensors'));
    const read = await load(run, async (checkpoint) => [checkpoint.state.step, await inTurn(checkpoint)]);
    assert.deepEqual(read, [1, ['conv.weight', 'conv.bias']]);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0]!, /ema\.safetensors/);
  });
});

describe('checkpoints that cannot be used', () => {
  test('a file of each part that is missing, short, or changed is named', async () => {
    for (const file of ['model.safetensors', 'ema.safetensors', 'optimizer.safetensors', 'config.yaml']) {
      const name = file.replace('.', '\\.');
      const path = join(await save(7), file);
      const good = readFileSync(path);
      const fails = (): Promise<string> =>
        failure(open(new RunCheckpoints(run).path(7), { optimizer: true }));
      truncateSync(path, good.length - 1);
      assert.match(await fails(), new RegExp(`has ${good.length - 1} bytes of ${good.length}\n.*${name}`));
      writeFileSync(
        path,
        good.map((byte, i) => (i === good.length - 1 ? byte ^ 1 : byte)),
      );
      assert.match(await fails(), new RegExp(`has changed since it was written\n.*${name}`));
      rmSync(path);
      assert.match(await fails(), new RegExp(`is missing\n.*${name}`));
    }
  });

  test('the optimizer may be missing unless it is asked for', async () => {
    const path = await save(7);
    rmSync(join(path, 'optimizer.safetensors'));
    await open(path);
    assert.match(await failure(open(path, { optimizer: true })), /is missing/);
    const without = await save(8, { optimizer: undefined });
    assert.match(
      await failure(open(without, { optimizer: true })),
      /optimizer.*\n(.*\n)*.*E_CHECKPOINT_DAMAGED/,
    );
  });

  test('half-written, of another program, of a newer format are told apart', async () => {
    const path = await save(7);
    const state = join(path, 'state.json');
    const good = JSON.parse(readFileSync(state, 'utf8')) as Record<string, unknown>;
    const message = async (content: string): Promise<string> => {
      writeFileSync(state, content);
      return failure(open(path));
    };
    assert.match(await message('{'), /state\.json cannot be read/);
    assert.match(await message('null'), /state\.json/);
    assert.match(await message(JSON.stringify({ ...good, format: 'other' })), /format/);
    assert.match(await message(JSON.stringify({ ...good, step: -1 })), /step/);
    assert.match(await message(JSON.stringify({ ...good, files: { '../../x': {} } })), /files/);
    const newer = JSON.stringify({ format: 'mm-checkpoint', version: 99, anything: [] });
    assert.match(await message(newer), /\b99\b.*\b2\b.*\n(.*\n)*.*E_NEWER_FORMAT/);
    rmSync(state);
    assert.match(
      await failure(open(path)),
      /state\.json is missing, so the checkpoint was written only in part/,
    );
  });

  test('of another kind are named with both kinds', async () => {
    const path = await save(7);
    const message = await failure(open(path, { kind: 'dalle' }));
    assert.match(
      message,
      /\bdvae\b.*\bdalle\b.*\n.*\n {2}fix: .*mm train-dalle.*\n {2}code: E_CHECKPOINT_KIND$/,
    );
  });

  test('that are missing, or a file, are told apart', async () => {
    assert.match(await failure(open(join(run, 'none'))), /E_CHECKPOINT_NOT_FOUND/);
    assert.match(await failure(open(join(await save(7), 'model.safetensors'))), /E_CHECKPOINT_IS_FILE/);
  });

  test('tensors that do not fit are named with both shapes', async () => {
    const checkpoint = await open(await save(7));
    const read = (expected: [string, { shape: number[] }][]): Promise<string> =>
      failure(checkpoint.read('model', expected));
    const [weight, bias] = EXPECTED as [(typeof EXPECTED)[0], (typeof EXPECTED)[0]];
    assert.match(
      await read([weight, ['conv.bias', { shape: [1, 1] }]]),
      /conv\.bias is \[1\], the configuration makes it \[1,1\]/,
    );
    assert.match(await read([weight]), /unknown: conv\.bias/);
    assert.match(await read([weight, bias, ['head', { shape: [1] }]]), /missing: head/);
    const many = Array.from({ length: 9 }, (_, i): [string, { shape: number[] }] => [`x${i}`, { shape: [] }]);
    assert.match(await read([...EXPECTED, ...many]), /missing: x0, x1, x2, x3, x4 and 4 more/);
  });
});

describe('a run folder', () => {
  const newest = async (): Promise<string | undefined> =>
    (await new RunCheckpoints(run).newest({ optimizer: true, warn }))?.path;

  test('is read as its newest whole checkpoint', async () => {
    for (const step of [9, 10, 100]) await save(step);
    assert.equal((await open(run)).state.step, 100);
    assert.equal(await newest(), new RunCheckpoints(run).path(100));
    assert.deepEqual(warnings, []);
  });

  test('has its damaged and half-written checkpoints skipped with a warning', async () => {
    for (const step of [1, 2, 3]) await save(step);
    rmSync(join(new RunCheckpoints(run).path(3), 'state.json'));
    truncateSync(join(new RunCheckpoints(run).path(2), 'optimizer.safetensors'), 20);
    mkdirSync(join(run, 'checkpoints', '.step-4.1.ab.tmp'));
    writeFileSync(join(run, 'checkpoints', 'notes.txt'), '');
    assert.equal(await newest(), new RunCheckpoints(run).path(1));
    assert.equal(warnings.length, 2);
    assert.match(warnings[0]!, /state\.json is missing.*step-3/);
    assert.equal((await open(run)).state.step, 2, 'sampling needs no optimizer');
    assert.equal((await open(run, { optimizer: true })).state.step, 1);
  });

  test('with a checkpoint of a newer format is an error', async () => {
    await save(1);
    const newest = await save(2);
    writeFileSync(join(newest, 'state.json'), JSON.stringify({ format: 'mm-checkpoint', version: 99 }));
    assert.match(await failure(open(run)), /E_NEWER_FORMAT/);
  });

  test('without a checkpoint is an error', async () => {
    assert.equal(await newest(), undefined);
    mkdirSync(join(run, 'checkpoints'));
    assert.match(await failure(open(run)), /E_NO_CHECKPOINT/);
  });

  test('keeps its newest checkpoints when it is pruned, and nothing of interrupted writes', async () => {
    for (const step of [8, 9, 10, 11]) await save(step);
    mkdirSync(join(run, 'checkpoints', '.step-12.1.ab.tmp'));
    writeFileSync(join(run, 'checkpoints', 'notes.txt'), '');
    await new RunCheckpoints(run).prune(2);
    assert.deepEqual(readdirSync(join(run, 'checkpoints')).sort(), ['notes.txt', 'step-10', 'step-11']);
  });

  test('loses later checkpoints when it is pruned after a step', async () => {
    for (const step of [1, 2, 9]) await save(step);
    rmSync(join(new RunCheckpoints(run).path(9), 'state.json'));
    await new RunCheckpoints(run).prune(1, 2);
    assert.deepEqual(readdirSync(join(run, 'checkpoints')), ['step-2']);
    await new RunCheckpoints(join(run, 'none')).prune(1);
  });
});
