// CLIPs in the folders of open_clip and transformers whose settings differ from OpenAI's: converted, they give the token
// ids, features and probabilities of those libraries; a mistake in any setting does not.
// scripts/fixtures/open_clip_folders.py wrote the folders and what the libraries compute.

import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Checkpoint } from '../../src/checkpoint/checkpoint.ts';
import { readCheckpoint } from '../../src/checkpoint/read.ts';
import { SafetensorsFile } from '../../src/checkpoint/safetensors.ts';
import { clipCheckpointSchema } from '../../src/config/clip.ts';
import { convertWeights } from '../../src/convert/convert.ts';
import type { ConvertOptions } from '../../src/convert/external.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { ClipPipeline } from '../../src/inference/clip/pipeline.ts';
import { textBatch, textTokens } from '../../src/models/clip/text.ts';
import { loadTokenizer } from '../../src/tokenizers/load.ts';
import { UserError } from '../../src/util/errors.ts';
import { clipProbabilities } from '../support/clip-probabilities.ts';

const FIXTURES = fileURLToPath(new URL('./fixtures/open-clip/', import.meta.url));
interface Expected {
  readonly pixels: string;
  readonly strings: readonly string[];
  readonly ids: readonly (readonly number[])[];
  readonly imageFeatures: readonly number[];
  readonly textFeatures: readonly number[];
  readonly probabilities: readonly number[];
}
const expected: Readonly<Record<string, Expected>> = JSON.parse(
  readFileSync(join(FIXTURES, 'expected.json'), 'utf8'),
);
const TOLERANCE = 1e-4;

const root = mkdtempSync(join(tmpdir(), 'mm-open-clip-'));
after(() => rmSync(root, { recursive: true }));

let count = 0;
type Edit = (json: Record<string, Record<string, unknown>>) => void;

/** Converts a folder, after its JSON files have been edited. */
async function convert(
  name: string,
  edits: Readonly<Record<string, Edit | 'absent'>> = {},
  options: ConvertOptions = {},
): Promise<Checkpoint> {
  const [from, to] = ['from', 'to'].map((part) => join(root, `${++count}-${part}`)) as [string, string];
  cpSync(join(FIXTURES, name), from, { recursive: true });
  for (const [file, edit] of Object.entries(edits)) {
    if (edit === 'absent') rmSync(join(from, file));
    else {
      const json = JSON.parse(readFileSync(join(from, file), 'utf8'));
      edit(json);
      writeFileSync(join(from, file), JSON.stringify(json));
    }
  }
  await convertWeights([from], to, options);
  return readCheckpoint(to, { kind: 'clip', warn: assert.fail });
}

const farthest = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.max(...Array.from(a, (value, i) => Math.abs(value - (b[i] as number))));

/** The largest difference of features and probabilities from the library's. */
async function difference(name: string, checkpoint: Checkpoint): Promise<number> {
  const runtime = new Runtime();
  try {
    return await differenceIn(runtime, name, checkpoint);
  } finally {
    await runtime.close();
  }
}

async function differenceIn(runtime: Runtime, name: string, checkpoint: Checkpoint): Promise<number> {
  const wanted = expected[name] as Expected;
  const model = await ClipPipeline.open(runtime, checkpoint);
  const images = await model.encodeImages(Buffer.from(wanted.pixels, 'base64'));
  const texts = await model.encodeTexts(wanted.strings, true);
  const probabilities = clipProbabilities(model, images, texts);
  return Math.max(
    farthest(images, wanted.imageFeatures),
    farthest(texts, wanted.textFeatures),
    farthest(probabilities, wanted.probabilities),
  );
}

for (const [name, { strings, ids }] of Object.entries(expected)) {
  describe(name, () => {
    let checkpoint: Checkpoint;
    before(async () => {
      checkpoint = await convert(name);
    });

    test('the token ids are identical', async () => {
      const { model } = checkpoint.config(clipCheckpointSchema);
      const tokenizer = await loadTokenizer(checkpoint.tokenizerFile);
      const rows = strings.map((text) => textTokens(text, tokenizer, model, true));
      assert.deepEqual([...(textBatch(rows, model).text.data as Int32Array)], ids.flat());
    });

    test('features and probabilities equal the library’s within 1e-4', async () => {
      const worst = await difference(name, checkpoint);
      assert.ok(worst < TOLERANCE, `${worst}`);
    });
  });
}

const OPEN_CLIP = 'open_clip_config.json';
const vision =
  (key: string, value: unknown): Edit =>
  ({ model_cfg }) => {
    (model_cfg as { vision_cfg: Record<string, unknown> }).vision_cfg[key] = value;
  };
const text =
  (key: string, value: unknown): Edit =>
  ({ model_cfg }) => {
    (model_cfg as { text_cfg: Record<string, unknown> }).text_cfg[key] = value;
  };

const set =
  (section: string, key: string, value: unknown): Edit =>
  (json) => {
    (json[section] as Record<string, unknown>)[key] = value;
  };

describe('a mistake in a setting changes the result', () => {
  const mistakes: Readonly<Record<string, readonly [name: string, file: string, edit: Edit]>> = {
    'heads of the image tower': ['heads', OPEN_CLIP, vision('head_width', 16)],
    'heads of the text tower': ['heads', OPEN_CLIP, text('heads', 2)],
    activation: ['layer-scale', OPEN_CLIP, set('model_cfg', 'quick_gelu', false)],
    mean: ['heads', OPEN_CLIP, set('preprocess_cfg', 'mean', [0.4, 0.5, 0.5])],
    deviation: ['heads', OPEN_CLIP, set('preprocess_cfg', 'std', [0.5, 0.5, 0.4])],
    'epsilon of the image tower': ['average', OPEN_CLIP, vision('norm_kwargs', { eps: 1e-5 })],
    'epsilon of the text tower': ['average', OPEN_CLIP, text('norm_kwargs', { eps: 1e-5 })],
    'pooling of the image': ['average', OPEN_CLIP, vision('pool_type', 'tok')],
    'the order of norm and pooling': ['clipa', OPEN_CLIP, vision('final_ln_after_pool', false)],
    'pooling of the text': [
      'clipa',
      OPEN_CLIP,
      (json) => {
        text('pool_type', 'eos')(json);
        text('eos_id', 0)(json);
      },
    ],
    'the causal mask': ['clipa', OPEN_CLIP, text('no_causal_mask', false)],
    'heads of the pooling of a ResNet': ['resnet', OPEN_CLIP, vision('head_width', 64)],
    'heads in config.json': ['transformers', 'config.json', set('vision_config', 'num_attention_heads', 2)],
    'epsilon in config.json': ['transformers', 'config.json', set('text_config', 'layer_norm_eps', 1e-5)],
    'mean in preprocessor_config.json': [
      'transformers',
      'preprocessor_config.json',
      (json) => Object.assign(json, { image_mean: [0.4, 0.5, 0.5] }),
    ],
  };
  for (const [what, [name, file, edit]] of Object.entries(mistakes))
    test(what, async () => {
      const worst = await difference(name, await convert(name, { [file]: edit }));
      assert.ok(worst > 10 * TOLERANCE, `${worst}`);
    });

  test('another padding of the ids', async () => {
    const checkpoint = await convert('clipa');
    const { model } = checkpoint.config(clipCheckpointSchema);
    assert.deepEqual(model.text.specialTokens, { start: 2, end: 0, padding: 0 });
    const ids = textBatch([[2, 5]], {
      ...model,
      text: { ...model.text, specialTokens: { start: 2, end: 0, padding: 4 } },
    });
    assert.deepEqual([...(ids.text.data as Int32Array)], [2, 5, 4, 4, 4, 4, 4, 4]);
  });
});

test('resize mode and interpolation are those of the files', async () => {
  const images = async (name: string) => (await convert(name)).config(clipCheckpointSchema).model.image;
  for (const [name, resize, interpolation, fill] of [
    ['heads', 'shortest', 'bicubic', 0],
    ['clipa', 'squash', 'bilinear', 0],
    ['average', 'longest', 'bicubic', 127],
    ['resnet', 'shortest', 'bilinear', 0],
    ['transformers', 'squash', 'bilinear', 0],
  ] as const) {
    const image = await images(name);
    assert.deepEqual([image.resize, image.interpolation, image.fill], [resize, interpolation, fill], name);
  }
});

test('another image size or text length interpolates the positions', async () => {
  const checkpoint = await convert('heads', {}, { imageSize: 32, textLength: 24 });
  const { model } = checkpoint.config(clipCheckpointSchema);
  assert.deepEqual([model.image.size, model.text.length], [32, 24]);
  const runtime = new Runtime();
  try {
    const clip = await ClipPipeline.open(runtime, checkpoint);
    const features = await clip.encodeImages(new Uint8Array(32 * 32 * 3).fill(99));
    assert.equal(features.length, 24);
    assert.ok(features.every(Number.isFinite));
  } finally {
    await runtime.close();
  }
});

test('text_config_dict and vision_config_dict, of 2022, take the place of the newer keys', async () => {
  const former: Edit = (json) => {
    json.text_config_dict = { ...json.text_config };
    json.vision_config_dict = { ...json.vision_config };
    json.text_config!.num_attention_heads = 1;
    json.vision_config!.num_attention_heads = 1;
    delete json.vision_config;
  };
  const checkpoint = await convert('transformers', { 'config.json': former });
  assert.ok((await difference('transformers', checkpoint)) < TOLERANCE);
});

test('16-bit weights stay 16 bits wide', async () => {
  const { path } = await convert('heads');
  const theirs = await SafetensorsFile.open(join(FIXTURES, 'heads', 'open_clip_model.safetensors'));
  const ours = await SafetensorsFile.open(join(path, 'model.safetensors'));
  try {
    const types = (file: SafetensorsFile): string[] => [
      ...new Set(file.names.map((name) => file.info(name).dtype)),
    ];
    assert.deepEqual(types(theirs), ['float16']);
    assert.deepEqual(types(ours), ['float16']);
  } finally {
    await theirs.close();
    await ours.close();
  }
});

test('the same weights have another hash with another activation', async () => {
  const hashOf = async (options: ConvertOptions): Promise<string> => {
    const runtime = new Runtime();
    try {
      return (await ClipPipeline.open(runtime, await convert('heads', {}, options))).hash;
    } finally {
      await runtime.close();
    }
  };
  const own = await hashOf({});
  assert.equal(await hashOf({ activation: 'gelu' }), own);
  assert.notEqual(await hashOf({ activation: 'quick-gelu' }), own);
});

describe('what nothing tells is asked for, and what mm does not have is refused by name', () => {
  const refused = (
    what: string,
    code: string,
    says: RegExp,
    name: string,
    edits: Readonly<Record<string, Edit | 'absent'>>,
    options: ConvertOptions = {},
  ): void => {
    test(what, async () => {
      const before = readdirSync(root).filter((entry) => entry.endsWith('-to')).length;
      await assert.rejects(convert(name, edits, options), (error) => {
        assert.ok(error instanceof UserError && error.code === code, String(error));
        assert.match(`${error.message}\n${error.fix}`, says);
        return true;
      });
      assert.equal(
        readdirSync(root).filter((entry) => entry.endsWith('-to')).length,
        before,
        'nothing is written',
      );
    });
  };
  const MISSING = 'E_CLIP_SETTINGS_MISSING';
  const told = { activation: 'gelu', preprocessing: 'clipa', heads: 4, textHeads: 4 } as const;
  refused(
    'a bare file without ln_pre, of CLIPA',
    MISSING,
    /pools.*causal/,
    'clipa',
    { [OPEN_CLIP]: 'absent' },
    told,
  );
  const OPTION = 'E_OPTION_VALUE';
  const bare = { [OPEN_CLIP]: 'absent' } as const;
  refused('heads that do not divide', OPTION, /32 wide has no 5 heads.*1 \(32 wide\)/s, 'heads', bare, {
    ...told,
    heads: 5,
  });
  refused(
    'more positions than any model has',
    OPTION,
    /64000001 positions/,
    'heads',
    {},
    { imageSize: 64_000 },
  );
  refused('a longer text than any model reads', OPTION, /1000000000/, 'heads', {}, { textLength: 1e9 });
  refused(
    'weights without a configuration',
    MISSING,
    /`activation`.*`preprocessing`.*`heads`.*1 \(32 wide\).*`textHeads`/s,
    'heads',
    { [OPEN_CLIP]: 'absent' },
  );
  refused('a folder without preprocessing', MISSING, /`preprocessing`/, 'transformers', {
    'preprocessor_config.json': 'absent',
  });
  refused('another end token in config.json', 'E_WEIGHTS_MISMATCH', /end token 5/, 'transformers', {
    'config.json': set('text_config', 'eos_token_id', 5),
  });
  const UNSUPPORTED = 'E_CLIP_UNSUPPORTED';
  refused(
    'another size of a ResNet',
    UNSUPPORTED,
    /ResNet keeps its positions/,
    'resnet',
    {},
    { imageSize: 448 },
  );
  refused('an image tower of timm', UNSUPPORTED, /image tower is vit_so400m of timm/, 'heads', {
    [OPEN_CLIP]: vision('timm_model_name', 'vit_so400m'),
  });
  refused('a text tower of transformers', UNSUPPORTED, /text tower is xlm-roberta-base/, 'heads', {
    [OPEN_CLIP]: text('hf_model_name', 'xlm-roberta-base'),
  });
  refused('norms of queries and keys', UNSUPPORTED, /vision_cfg\.qk_norm is true/, 'heads', {
    [OPEN_CLIP]: vision('qk_norm', true),
  });
  refused('a setting that is unknown', UNSUPPORTED, /text_cfg.*rotary/, 'heads', {
    [OPEN_CLIP]: text('rotary', 1),
  });
  refused('another resize mode', 'E_CLIP_PREPROCESSING', /resize_mode/, 'heads', {
    [OPEN_CLIP]: set('preprocess_cfg', 'resize_mode', 'stretch'),
  });
  refused(
    'another model’s configuration',
    'E_WEIGHTS_MISMATCH',
    /vision_cfg\.width is 64, the weights have 32/,
    'heads',
    {
      [OPEN_CLIP]: vision('width', 64),
    },
  );

  test('the options tell what a bare file does not', async () => {
    const checkpoint = await convert(
      'heads',
      { [OPEN_CLIP]: 'absent' },
      { activation: 'gelu', preprocessing: 'inception', heads: 4, textHeads: 4 },
    );
    assert.ok((await difference('heads', checkpoint)) < TOLERANCE);
    const from = join(FIXTURES, 'heads');
    const files = readdirSync(from).filter((name) => name !== OPEN_CLIP);
    const { notes } = await convertWeights(
      files.map((name) => join(from, name)),
      join(root, 'bare'),
      { ...told, preprocessing: 'inception' },
    );
    assert.match(notes.join('\n'), /no configuration.* 4 heads.*class token.*causal/);
  });

  test('two models’ folders do not lend each other their configuration or tokenizer', async () => {
    const folders = ['heads', 'transformers'].map((name) => join(FIXTURES, name));
    await assert.rejects(convertWeights(folders, join(root, 'two'), {}), { code: 'E_WEIGHTS_AMBIGUOUS' });
    const copy = join(root, 'two-configurations');
    cpSync(folders[0] as string, copy, { recursive: true });
    cpSync(join(copy, OPEN_CLIP), join(copy, 'ViT-B-32-quickgelu.json'));
    await assert.rejects(convertWeights([copy], join(root, 'two'), {}), {
      code: 'E_WEIGHTS_AMBIGUOUS',
      message: /quickgelu/,
    });
  });
});
