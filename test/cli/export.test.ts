// mm export: what mm trained goes out and comes back bit for bit, and the mistakes of users.

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { readCheckpoint } from '../../src/checkpoint/read.ts';
import { writeCheckpoint } from '../../src/checkpoint/write.ts';
import { convertWeights } from '../../src/convert/convert.ts';
import { exportModel } from '../../src/export/export.ts';
import type { ExportFormat } from '../../src/export/formats.ts';
import { loadTokenizer } from '../../src/tokenizers/load.ts';
import { trainBpe } from '../../src/tokenizers/train.ts';
import { mmTogether } from '../support/mm-each.ts';
import { writeTinyClip } from '../support/tiny-clip.ts';
import { writeTinyDvae } from '../support/tiny-dvae.ts';

const mm = mmTogether();
const root = mkdtempSync(join(tmpdir(), 'mm-export-cli-'));
const clip = join(root, 'clip');
const dvae = join(root, 'dvae');
const tokenizer = join(root, 'tokenizer.json');
before(async () => {
  const captions = ['a photo of a cat and the dog', 'another photograph of other dogs'];
  await (await trainBpe(captions, { vocabulary: 264 })).save(tokenizer);
  await writeTinyClip(clip, tokenizer);
  await writeTinyDvae(dvae);
});
after(() => rmSync(root, { recursive: true }));

const weightsOf = async (path: string) => (await readCheckpoint(path, { warn: assert.fail })).read('model');

describe('what mm trained comes back bit for bit', () => {
  for (const to of ['transformers', 'open-clip'] as const satisfies ExportFormat[])
    test(`by way of ${to}, with its tokenizer`, async () => {
      const out = join(root, to);
      await exportModel(clip, { to, out, warn: assert.fail });
      const back = join(root, `${to}-back`);
      await convertWeights([out], back, {});
      assert.deepEqual(await weightsOf(back), await weightsOf(clip));
      const [own, read] = [await loadTokenizer(tokenizer), await loadTokenizer(join(back, 'tokenizer.json'))];
      for (const text of ['a photo', 'Zebra, 12!']) assert.deepEqual(read.encode(text), own.encode(text));
    });

  test('a second way out gives the same bytes', async () => {
    const [first, second] = ['first', 'second'].map((name) => join(root, name)) as [string, string];
    for (const out of [first, second])
      await exportModel(clip, { to: 'transformers', out, warn: assert.fail });
    for (const file of ['model.safetensors', 'config.json', 'tokenizer.json'])
      assert.deepEqual(readFileSync(join(second, file)), readFileSync(join(first, file)), file);
  });
});

test('the EMA goes out where there is one, and the last weights when they are asked for', async () => {
  const [run, checkpoint] = [join(root, 'run'), await readCheckpoint(clip, { warn: assert.fail })];
  const model = await checkpoint.read('model');
  const doubled = new Map(
    Array.from(model, ([name, tensor]) => [
      name,
      { ...tensor, data: (tensor.data as Float32Array).map((x) => 2 * x) },
    ]),
  );
  await writeCheckpoint(join(run, 'checkpoints', 'step-1'), {
    ...{ kind: 'clip', step: 1, seed: 1, dataPosition: null, metrics: {} },
    config: checkpoint.config((await import('../../src/config/clip.ts')).clipCheckpointSchema),
    model,
    ema: doubled,
    tokenizer: await loadTokenizer(tokenizer),
  });
  const scale = async (weights: 'best' | 'last'): Promise<number> => {
    const out = join(root, `ema-${weights}`);
    await exportModel(run, { to: 'transformers', out, weights, warn: assert.fail });
    const back = `${out}-back`;
    await convertWeights([out], back, {});
    return Number((await weightsOf(back)).get('logit_scale')!.data[0]);
  };
  assert.equal(await scale('best'), 2 * (await scale('last')));
});

describe('mistakes', () => {
  const refused = async (args: readonly string[]) => {
    const { code: exit, stdout } = await mm(['export', ...args, '--json']);
    return { exit, ...(JSON.parse(stdout) as { error: Record<string, string> }).error } as Record<
      string,
      unknown
    >;
  };

  test('a format that has no place for the model names those that have', async () => {
    const out = join(root, 'nothing');
    const { exit, code, fix, where } = await refused([dvae, '--to', 'transformers', '--out', out]);
    assert.deepEqual([exit, code, where], [3, 'E_EXPORT_UNSUPPORTED', dvae]);
    assert.match(String(fix), /--to.*saved-model/);
    assert.ok(!existsSync(out));
  });

  test('an output that exists is not touched', async () => {
    const out = join(root, 'there');
    mkdirSync(out);
    writeFileSync(join(out, 'mine.txt'), 'mine');
    const { exit, code, option } = await refused([clip, '--to', 'open-clip', '--out', out]);
    assert.deepEqual([exit, code, option], [2, 'E_OUT_EXISTS', '--out']);
    assert.equal(readFileSync(join(out, 'mine.txt'), 'utf8'), 'mine');
  });

  test('a setting that the other program does not have is named, with what it would have to be', async () => {
    const odd = join(root, 'odd');
    await writeTinyClip(odd, tokenizer, 1, {
      image: { size: 16, patch: 8, width: 16, layers: 1, heads: 2, pool: 'mean' },
      text: { vocabulary: 266, length: 12, width: 16, layers: 1, heads: 2, causal: false },
    });
    await assert.rejects(
      exportModel(odd, { to: 'transformers', out: join(root, 'odd-out'), warn: assert.fail }),
      {
        code: 'E_EXPORT_UNSUPPORTED',
        message: /image\.pool is mean, there class.*text\.causal is false, there true/,
      },
    );
  });
});
