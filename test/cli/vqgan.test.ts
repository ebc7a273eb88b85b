// A VQGAN of another program, from its files to images of prompts; and files that do not say what they are.

import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import sharp from 'sharp';
import { dumpConfig } from '../../src/config/load.ts';
import { EXIT } from '../../src/util/errors.ts';
import { mmEach } from '../support/mm-each.ts';
import { testRefusals } from '../support/refusal.ts';
import { writeImages, writeTinyDvae } from '../support/tiny-dvae.ts';
import { dalleConfig, writeTokenizer } from '../support/tiny-runs.ts';

const FIXTURES = fileURLToPath(new URL('../parity/fixtures/vqgan', import.meta.url));
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const root = mkdtempSync(join(tmpdir(), 'mm-vqgan-'));
after(() => rmSync(root, { recursive: true }));
const at = (name: string): string => join(root, name);

/** Puts a file of the fixtures into the folder of these tests. */
function place(fixture: string, name = fixture.split('/').at(-1) as string): string {
  mkdirSync(join(at(name), '..'), { recursive: true });
  if (fixture.endsWith('.yaml') || fixture.endsWith('.json')) copyFileSync(join(FIXTURES, fixture), at(name));
  else writeFileSync(at(name), gunzipSync(readFileSync(join(FIXTURES, `${fixture}.gz`))));
  return at(name);
}

describe('a VQGAN of taming-transformers', () => {
  const GRID = 8;
  const SIZE = 32;
  const VOCABULARY = 48;
  const weights = place('gumbel/last.ckpt');
  const yaml = place('gumbel/model.yaml');

  test('is converted, tokenizes, reconstructs, is trained on and sampled from, by the same commands', async () => {
    const data = { path: at('images'), dvae: at('dvae'), tokenizer: at('tokenizer.json') };
    await writeImages(data.path, 6);
    await writeTokenizer(data.tokenizer, data.path);
    const config = dalleConfig(data, 0, {
      steps: 2,
      batch: 2,
      evaluateEvery: 2,
      saveEvery: 2,
      samples: { count: 0 },
    });
    const model = { ...config.model, grid: GRID, imageVocabulary: VOCABULARY };
    writeFileSync(at('dalle.yaml'), dumpConfig({ ...config, model }));
    await writeTinyDvae(at('openai'));
    const train = ['train-dalle', '--config', at('dalle.yaml'), '--taming', '--json'];
    const commands = {
      convert: ['convert', weights, '--config', yaml, '--to', data.dvae, '--json'],
      tokenize: [
        'tokenize',
        '--data',
        data.path,
        '--vqgan_model_path',
        data.dvae,
        '--out',
        at('tokens'),
        '--json',
      ],
      reconstruct: ['reconstruct', data.path, '--dvae', data.dvae, '--out', at('both.png'), '--json'],
      decode: ['reconstruct', at('tokens'), '--dvae', data.dvae, '--out', at('tokens.png'), '--json'],
      fromTokens: [...train, '--tokens', at('tokens'), '--run', at('from-tokens')],
      fromImages: [...train, '--run', at('from-images')],
      sample: [
        'sample',
        '--dalle',
        at('from-images'),
        '--prompt',
        'picture 1',
        '--count',
        '1',
        '--out',
        at('made'),
        '--json',
      ],
    };
    const refused = [...train, '--dvae', at('openai'), '--run', at('refused-run')];
    const outcomes = await mmEach([...Object.values(commands), refused], { folder: ROOT });
    const results = Object.fromEntries(
      Object.keys(commands).map((name, i) => {
        const { code, stdout, stderr } = outcomes[i]!;
        assert.equal(code, 0, `${name}: ${stderr}`);
        return [name, JSON.parse(stdout.trim().split('\n').at(-1) as string)];
      }),
    );
    assert.equal(results.convert.config.model.architecture, 'vqgan');
    assert.match(results.convert.what, /48 codes, 32 pixels, 8 × 8/);
    assert.deepEqual(
      [results.tokenize.images, results.tokenize.grid, results.tokenize.vocabulary],
      [6, GRID, VOCABULARY],
    );
    assert.equal(results.reconstruct.images, 6);
    assert.ok(results.reconstruct.codesUsed > 5 && results.reconstruct.codesUsed <= VOCABULARY);
    // Its codes are not relaxed.
    assert.ok(!('softMse' in results.reconstruct) && !('softHardGap' in results.reconstruct));
    assert.equal(results.decode.images, 6);
    // Images are encoded to the same codes whether mm tokenize did it or the run.
    const losses = ['from-tokens', 'from-images'].map((run) =>
      readFileSync(join(at(run), 'metrics.jsonl'), 'utf8'),
    );
    assert.equal(losses[0], losses[1]);
    const { code, stderr } = outcomes.at(-1)!;
    assert.equal(code, EXIT.usage);
    assert.match(stderr, /openai, not vqgan[\s\S]*E_DVAE_MISMATCH/);
    const { width, height } = await sharp(results.sample.file).metadata();
    assert.deepEqual([width, height], [SIZE, SIZE]);
  });
});

describe('files of a VQGAN that do not say what they are', () => {
  const alone = place('taming/last.ckpt', 'alone/last.ckpt');
  const another = place('gumbel/model.yaml', 'another.yaml');
  writeFileSync(at('empty.yaml'), 'data: {path: images}\n');
  writeFileSync(at('python.yaml'), 'model: !!python/object/apply:os.system ["true"]\n');
  const sizes = readFileSync(join(FIXTURES, 'taming/model.yaml'), 'utf8');
  writeFileSync(at('text.yaml'), sizes.replace(/n_embed: 64/, 'n_embed: many'));
  writeFileSync(at('tanh.yaml'), sizes.replace(/( +)ch: 32/, '$1ch: 32\n$1tanh_out: true'));
  const config = JSON.parse(readFileSync(join(FIXTURES, 'diffusers/config.json'), 'utf8'));
  const diffusers = (name: string, over: object): string => {
    place('diffusers/diffusion_pytorch_model.safetensors', `${name}/diffusion_pytorch_model.safetensors`);
    writeFileSync(join(at(name), 'config.json'), JSON.stringify({ ...config, ...over }));
    return at(name);
  };
  const convert = (...flags: string[]) => ({ flags: ['convert', ...flags, '--to', at('refused')] });
  testRefusals({
    'weights alone, which do not say the size of the images': {
      ...convert(alone),
      exit: EXIT.usage,
      code: 'E_IMAGE_SIZE_MISSING',
      at: 'last.ckpt',
      says: [/--config/, /--image-size/, /256/],
    },
    'the YAML file of another model': {
      ...convert(alone, '--config', another),
      exit: EXIT.data,
      code: 'E_WEIGHTS_MISMATCH',
      at: 'another.yaml',
      says: [/GumbelVQ/, /n_embed makes it 48, and the weights have 64/, /ch_mult/],
    },
    'a YAML file without sizes': {
      ...convert(alone, '--config', at('empty.yaml')),
      exit: EXIT.usage,
      code: 'E_MODEL_YAML',
      at: 'empty.yaml',
    },
    'a YAML file that calls Python': {
      ...convert(alone, '--config', at('python.yaml')),
      exit: EXIT.usage,
      code: 'E_CONFIG_SYNTAX',
      at: 'python.yaml:1:8',
    },
    'a YAML file with text for a number': {
      ...convert(alone, '--config', at('text.yaml')),
      exit: EXIT.data,
      code: 'E_MODEL_YAML',
      says: [/n_embed/],
    },
    'a tanh after the last convolution': {
      ...convert(alone, '--config', at('tanh.yaml')),
      exit: EXIT.data,
      code: 'E_WEIGHTS_UNSUPPORTED',
      says: [/tanh_out/],
    },
    'a size of images that the levels do not halve': {
      ...convert(alone, '--image-size', '33'),
      exit: EXIT.usage,
      code: 'E_OPTION_VALUE',
      says: [/--image-size/, /33/, /2 levels/],
    },
    'a VQModel whose sample_size is the default': {
      ...convert(diffusers('default', { sample_size: 32 })),
      exit: EXIT.usage,
      code: 'E_IMAGE_SIZE_MISSING',
      says: [/--image-size/, /sample_size/],
    },
    "a VQModel with MoVQ's norms": {
      ...convert(diffusers('movq', { norm_type: 'spatial' })),
      exit: EXIT.data,
      code: 'E_WEIGHTS_UNSUPPORTED',
      at: 'config.json',
      says: [/spatial/],
    },
    'a VQModel whose configuration is of other sizes': {
      ...convert(diffusers('wider', { num_vq_embeddings: 41 })),
      exit: EXIT.data,
      code: 'E_WEIGHTS_MISMATCH',
      says: [/quantize\.embedding\.weight/, /40/, /41/],
    },
    'an option that means nothing for a VQGAN': {
      ...convert(alone, '--image-size', '32', '--heads', '4'),
      exit: EXIT.usage,
      code: 'E_OPTION_UNUSED',
      says: [/--heads/],
    },
    'a VQGAN that is not converted yet, in DALLE-pytorch’s flags': {
      flags: ['train-dalle', '--vqgan_model_path', alone, '--vqgan_config_path', another],
      exit: EXIT.usage,
      code: 'E_NOT_CONVERTED',
      says: [/mm convert .*last\.ckpt --config .*another\.yaml/],
    },
  });
});
