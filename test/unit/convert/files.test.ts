// Weights as training programs leave them: scripts/fixtures/wrapped_files.py wrote one small model in each of the files.

import assert from 'node:assert/strict';
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { TensorArray } from '../../../src/checkpoint/dtype.ts';
import { SafetensorsFile, writeSafetensors } from '../../../src/checkpoint/safetensors.ts';
import { convertWeights } from '../../../src/convert/convert.ts';
import { ExternalFiles } from '../../../src/convert/external.ts';
import { findModel } from '../../../src/convert/files/find.ts';
import { isFloat } from '../../../src/convert/tensors.ts';
import { UserError } from '../../../src/util/errors.ts';

const WRAPPED = fileURLToPath(new URL('./fixtures/wrapped/', import.meta.url));
const ANCHORS = ['ln_final.weight', 'positional_embedding', 'text_projection'];

const root = mkdtempSync(join(tmpdir(), 'mm-files-'));
after(() => rmSync(root, { recursive: true }));

const plain = await SafetensorsFile.open(`${WRAPPED}expected.safetensors`);
const expected = await plain.readAll().finally(() => plain.close());

/** What is found in the files: the tensors' values, the file and the notes. */
async function find(paths: readonly string[], part?: string) {
  const files = await ExternalFiles.find(paths);
  try {
    const rename = (name: string): string => name.replace(/(^|\.)text\.(?=ln_final|text_p|positional)/, '$1');
    const found = await findModel(files, { anchors: ANCHORS, rename, part });
    if (!found) return undefined;
    const values = new Map<string, TensorArray>();
    for (const [name, tensor] of found.tensors)
      if (isFloat(tensor)) values.set(name, (await tensor.read()).data);
    return { values, where: found.where, notes: files.notes, unused: await files.unused() };
  } finally {
    await files.close();
  }
}

const rejects = (paths: readonly string[], code: string, says: RegExp, part?: string): Promise<void> =>
  assert.rejects(find(paths, part), (error) => {
    assert.ok(error instanceof UserError && error.code === code, String(error));
    assert.match(`${error.message}\n${error.where}\n${error.fix}`, says);
    return true;
  });

function assertValues(values: ReadonlyMap<string, TensorArray>, shift = 0): void {
  assert.deepEqual([...values.keys()].sort(), [...expected.keys()].sort());
  for (const [name, { data }] of expected)
    assert.deepEqual(
      [...values.get(name)!].map(Number),
      [...data].map((value) => Math.fround(Number(value) + shift)),
      name,
    );
}

describe('the weights come out of what training programs put around them', () => {
  const files = [
    'model-state-dict.pt',
    'legacy.pth',
    'compiled-data-parallel.pt',
    'swa',
    'whole-module.pt',
    'lightning.ckpt',
  ];
  for (const name of files)
    test(name, async () => {
      const found = await find([WRAPPED + name]);
      assertValues(found!.values);
    });

  test('a head beside the model is left out, and said', async () => {
    const found = await find([`${WRAPPED}with-head.pt`]);
    assertValues(found!.values);
    assert.deepEqual(found!.notes.length, 1);
    assert.match(found!.notes[0]!, /\b2 tensors\b.*head\.weight, head\.bias/);
  });

  test('the weights are taken before their moving average, which can be chosen', async () => {
    const found = await find([`${WRAPPED}averages.pt`]);
    assertValues(found!.values);
    assert.match(found!.notes.join(), /\bmodel\b.*model_ema/);
    assertValues((await find([`${WRAPPED}averages.pt`], 'model_ema'))!.values, 1);
    const student = await find([`${WRAPPED}student-and-teacher.pt`]);
    assertValues(student!.values);
    assert.match(student!.notes.join(), /4 tensors.*teacher\./);
    assertValues((await find([`${WRAPPED}student-and-teacher.pt`], 'teacher.'))!.values, 1);
  });

  test('of two models in a file one has to be named', async () => {
    const path = `${WRAPPED}two-models.pt`;
    await rejects([path], 'E_WEIGHTS_AMBIGUOUS', /first, second/);
    assertValues((await find([path], 'second'))!.values, 1);
    await rejects([path], 'E_WEIGHTS_PART', /first, second/, 'third');
  });
});

describe('folders', () => {
  const folder = (name: string): string => {
    const path = join(root, name);
    mkdirSync(path);
    return path;
  };

  test('of a trainer: shards by their index, whatever lies beside them', async () => {
    const found = await find([`${WRAPPED}trainer`]);
    assertValues(found!.values);
    assert.ok(found!.where.endsWith('pytorch_model.bin.index.json'));
    assertValues((await find([`${WRAPPED}trainer/pytorch_model-00001-of-00002.bin`]))!.values);
  });

  test('shards without an index belong together by their numbers', async () => {
    const path = join(root, 'no-index');
    cpSync(`${WRAPPED}trainer`, path, { recursive: true });
    rmSync(join(path, 'pytorch_model.bin.index.json'));
    assertValues((await find([path]))!.values);
  });

  test('a missing shard, and a tensor that is not where the index has it, are named', async () => {
    const path = join(root, 'missing');
    cpSync(`${WRAPPED}trainer`, path, { recursive: true });
    const second = join(path, 'pytorch_model-00002-of-00002.bin');
    rmSync(second);
    await assert.rejects(convertWeights([path], join(root, 'to'), {}), {
      code: 'E_WEIGHTS_INCOMPLETE',
      message: /1 of 2 .*pytorch_model-00002-of-00002\.bin, with 2 tensors/,
    });
    copyFileSync(join(path, 'pytorch_model-00001-of-00002.bin'), second);
    await assert.rejects(convertWeights([path], join(root, 'to'), {}), {
      code: 'E_WEIGHTS_INCOMPLETE',
      message: /pytorch_model-00002-of-00002\.bin/,
    });
  });

  test('the safetensors file is taken of two formats; of two checkpoints one has to be named', async () => {
    const path = folder('formats');
    copyFileSync(`${WRAPPED}expected.safetensors`, join(path, 'model.safetensors'));
    copyFileSync(`${WRAPPED}legacy.pth`, join(path, 'pytorch_model.bin'));
    const found = await find([path]);
    assert.ok(found!.where.endsWith('model.safetensors'));
    assert.deepEqual(found!.unused, [join(path, 'pytorch_model.bin')]);
    copyFileSync(`${WRAPPED}swa`, join(path, 'epoch_2.pt'));
    await rejects([path], 'E_WEIGHTS_AMBIGUOUS', /3 files.*epoch_2\.pt/s);
  });

  test('a broken file beside the weights does no harm, but is an error where it is named', async () => {
    const path = folder('broken');
    copyFileSync(`${WRAPPED}swa`, join(path, 'weights.bin'));
    for (const name of ['other.pt', '._weights.bin', '.hidden'])
      writeFileSync(join(path, name), readFileSync(`${WRAPPED}swa`).subarray(0, 500));
    assertValues((await find([path]))!.values);
    await rejects([join(path, 'other.pt')], 'E_FILE_DAMAGED', /other\.pt/);
  });

  const POINTER = `version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}\nsize 605157884\n`;
  const refusals: Readonly<
    Record<string, readonly [file: string, content: string, code: string, says: RegExp]>
  > = {
    'a Git LFS pointer': ['model.safetensors', POINTER, 'E_WEIGHTS_POINTER', /605\.2 MB.*git lfs pull/s],
    'a web page': ['model.pt', ' <!DOCTYPE html><p>404', 'E_WEIGHTS_WEB_PAGE', /web page of 22 bytes/],
    'a GGUF file': ['model.gguf', 'GGUF\x03\0\0\0', 'E_WEIGHTS_UNKNOWN', /GGUF/],
    'damaged weights of Flax': ['flax_model.msgpack', '\x82\xa9', 'E_FILE_DAMAGED', /Flax/],
    "a part of torch.distributed's": ['__0_0.distcp', 'PK', 'E_WEIGHTS_UNKNOWN', /dcp_to_torch/],
    'an archive': ['model.tar.gz', '\x1f\x8b\x08', 'E_WEIGHTS_UNKNOWN', /gzip.*unpack/s],
    'a folder of DeepSpeed': ['zero_to_fp32.py', 'pass', 'E_WEIGHTS_DEEPSPEED', /zero_to_fp32\.py FOLDER/],
  };
  for (const [name, [file, content, code, says]] of Object.entries(refusals))
    test(`${name} is named, with what to do`, async () => {
      const path = folder(name);
      writeFileSync(join(path, file), Buffer.from(content, 'latin1'));
      await assert.rejects(convertWeights([path], join(root, 'to'), {}), (error) => {
        assert.ok(error instanceof UserError && error.code === code, String(error));
        assert.match(`${error.message}\n${error.where}\n${error.fix}`, says);
        return true;
      });
    });

  test("DeepSpeed's folder is known by its name, and by what lies beside auxiliary.pt", async () => {
    const path = folder('deepspeed');
    const inside = join(path, 'global_step100');
    mkdirSync(inside);
    await writeSafetensors(join(path, 'auxiliary.pt'), []);
    for (const from of [inside, join(path, 'auxiliary.pt')])
      await assert.rejects(convertWeights([from], join(root, 'to'), {}), { code: 'E_WEIGHTS_DEEPSPEED' });
  });

  test('weights of mm itself are said to be that', async () => {
    const path = join(root, 'own.safetensors');
    const tensor = { dtype: 'float32', shape: [1], data: new Float32Array(1) } as const;
    await writeSafetensors(path, [['image.patch', tensor]], { format: 'mm', part: 'model' });
    await assert.rejects(convertWeights([path], join(root, 'to'), {}), {
      code: 'E_WEIGHTS_OWN',
      where: path,
    });
  });

  test('tensors that DeepSpeed has divided are not taken for weights', async () => {
    const path = folder('zero-3');
    const empty = { dtype: 'float32', shape: [0], data: new Float32Array(0) } as const;
    await writeSafetensors(
      join(path, 'mp_rank_00_model_states.pt'),
      ANCHORS.map((name) => [name, empty]),
    );
    assert.equal(await find([path]), undefined);
    await assert.rejects(convertWeights([path], join(root, 'to'), {}), { code: 'E_WEIGHTS_DEEPSPEED' });
  });

  test('a folder of folders with weights names them', async () => {
    const path = folder('run');
    cpSync(`${WRAPPED}trainer`, join(path, 'checkpoint-500'), { recursive: true });
    await assert.rejects(convertWeights([path], join(root, 'to'), {}), {
      code: 'E_WEIGHTS_UNKNOWN',
      fix: /checkpoint-500/,
    });
  });
});

test('a CLIP in wrappers and shards becomes the same checkpoint as its own file', async () => {
  const from = fileURLToPath(new URL('../../parity/fixtures/open-clip/heads/', import.meta.url));
  const wrapped = join(root, 'wrapped-clip');
  cpSync(from, wrapped, { recursive: true });
  const name = 'open_clip_model.safetensors';
  rmSync(join(wrapped, name));
  const file = await SafetensorsFile.open(join(from, name));
  const tensors = await file.readAll().finally(() => file.close());
  const isText = (name: string): boolean => !/^(visual\.|logit_scale)/.test(name);
  const renamed = Array.from(tensors, ([name, tensor]) => {
    const inner = isText(name) ? `text._orig_mod.${name}` : name;
    return [`module.model.clip.${inner}`, tensor] as const;
  });
  const half = Math.ceil(renamed.length / 2);
  for (const i of [1, 2])
    await writeSafetensors(
      join(wrapped, `model-0000${i}-of-00002.safetensors`),
      renamed.slice((i - 1) * half, i * half),
    );
  const to = ['plain', 'other'].map((name) => join(root, `clip-${name}`)) as [string, string];
  const plain = await convertWeights([from], to[0], {});
  const other = await convertWeights([wrapped], to[1], {});
  assert.deepEqual([other.what, other.notes], [plain.what, []]);
  for (const file of ['model.safetensors', 'config.yaml'])
    assert.ok(readFileSync(join(to[1], file)).equals(readFileSync(join(to[0], file))), file);
});

test('unknown weights show three of their names and the nearest model', async () => {
  const path = join(root, 'unknown.safetensors');
  const tensor = { dtype: 'float32', shape: [1], data: new Float32Array(1) } as const;
  const blocks = [0, 1].flatMap((i) =>
    ['attn.in_proj_weight', 'mlp.c_fc.weight', 'ln_1.weight'].map(
      (name) => `transformer.resblocks.${i}.${name}`,
    ),
  );
  await writeSafetensors(
    path,
    [...blocks, 'logit_bias'].map((name) => [name, tensor]),
  );
  await assert.rejects(convertWeights([path], join(root, 'to'), {}), {
    code: 'E_WEIGHTS_UNKNOWN',
    message:
      /7 tensors, among them transformer\.resblocks\.#\.attn\.in_proj_weight, .*logit_bias; .*OpenAI's CLIP.* 3 of/,
  });
  const folder = join(root, 'siglip');
  mkdirSync(folder);
  await writeSafetensors(join(folder, 'model.safetensors'), [['logit_bias', tensor]]);
  writeFileSync(join(folder, 'config.json'), '{"model_type": "siglip"}');
  await assert.rejects(convertWeights([folder], join(root, 'to'), {}), { message: /siglip/ });
  await writeSafetensors(path, [['a.b.c', tensor]]);
  await assert.rejects(convertWeights([path], join(root, 'to'), {}), { message: /a\.b\.c; .*no model/ });
});
