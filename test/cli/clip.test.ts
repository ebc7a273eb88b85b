// mm rank, mm classify and the CLIPs of mm convert, as a user calls them.

import assert from 'node:assert/strict';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { readCheckpoint } from '../../src/checkpoint/read.ts';
import { decodeImage } from '../../src/data/decode.ts';
import { cacheFolder } from '../../src/engine/library/locate.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { ClipPipeline } from '../../src/inference/clip/pipeline.ts';
import { EXIT } from '../../src/util/errors.ts';
import { mm as mmAlone, type Outcome } from '../support/mm.ts';
import { mmTogether } from '../support/mm-each.ts';
import { testRefusals } from '../support/refusal.ts';
import { packTar } from '../support/tars.ts';
import { writeTinyClip } from '../support/tiny-clip.ts';
import { writeImage, writeImages, writeTinyDvae } from '../support/tiny-dvae.ts';
import { writeTokenizer } from '../support/tiny-runs.ts';

const mm = mmTogether();

const root = mkdtempSync(join(tmpdir(), 'mm-clip-cli-'));
const images = join(root, 'images');
const classes = join(root, 'classes');
const tokenizer = join(root, 'tokenizer.json');
const clip = join(root, 'clip');
const FIXTURES = fileURLToPath(new URL('../parity/fixtures/clip/', import.meta.url));
/** A CLIP of the sigmoid loss. */
const siglip = join(root, 'siglip');
const PROMPTS = ['picture 3', 'picture of pictures'] as const;

// Features go into a cache of the test's own; the library stays where it is.
const home = process.env.MM_CACHE;
before(async () => {
  await writeImages(images, 11);
  await writeTokenizer(tokenizer, images);
  await writeTinyClip(clip, tokenizer);
  await writeTinyClip(siglip, tokenizer, 1, { loss: 'sigmoid' });
  for (const [i, label] of ['one', 'two', 'three'].entries()) {
    mkdirSync(join(classes, label), { recursive: true });
    for (const n of [0, 1]) await writeImage(join(classes, label, `${n}.png`), 20 + 3 * n + i);
  }
});
after(() => {
  if (home === undefined) delete process.env.MM_CACHE;
  rmSync(root, { recursive: true });
});

interface Line {
  readonly prompt: string;
  readonly rank: number;
  readonly file: string;
  readonly similarity: number;
  readonly probability: number;
}
const lines = <T>(stdout: string): T[] =>
  stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as T);

/** Uses the checkpoint in this process. */
async function withClip<R>(path: string, use: (clip: ClipPipeline) => Promise<R>): Promise<R> {
  const runtime = new Runtime();
  try {
    return await use(
      await ClipPipeline.open(runtime, await readCheckpoint(path, { kind: 'clip', warn: assert.fail })),
    );
  } finally {
    await runtime.close();
  }
}

test('probabilities of the sigmoid loss are of each pair for itself, and the output says so', async () => {
  const table = join(root, 'sigmoids.csv');
  const ranked = await mmAlone([
    ...['rank', images, '--clip', siglip, '--no-cache', '--prompt', PROMPTS[0]],
    ...['--csv', table, '--probabilities', 'sigmoid'],
  ]);
  assert.equal(ranked.code, 0, ranked.stderr);
  assert.match(ranked.stdout.split('\n')[0] as string, /similarity +sigmoid/);
  const [header, ...rows] = readFileSync(table, 'utf8').trim().split('\n');
  assert.equal(header, 'prompt,rank,file,similarity,sigmoid_probability');
  const { scale, bias } = await withClip(siglip, async ({ logits }) => logits);
  assert.ok(Math.abs(bias + 10) > 1e-4 && Math.abs(bias + 10) < 1);
  for (const row of rows) {
    const [similarity, probability] = row.split(',').slice(-2).map(Number) as [number, number];
    assert.ok(Math.abs(probability * (1 + Math.exp(-(similarity * scale + bias))) - 1) < 1e-5, row);
  }
  const classified = await mm([
    ...['classify', images, '--clip', siglip, '--no-cache', '--json'],
    ...['--label', 'one', '--label', 'two', '--template', 'picture {label}', '--template', '{label}'],
  ]);
  assert.equal(classified.code, 0, classified.stderr);
  type Classified = { labels: { probability: number }[]; probabilityKind: string };
  for (const { labels, probabilityKind } of lines<Classified>(classified.stdout)) {
    assert.equal(probabilityKind, 'sigmoid');
    // The bias alone is near ln(1 / 22000): a softmax would give at least one half.
    assert.ok(labels.length === 2 && labels.every(({ probability }) => probability < 0.5));
  }
});

describe('mm rank', () => {
  const rank = (...flags: string[]) =>
    mm(['rank', images, '--clip', clip, ...PROMPTS.flatMap((prompt) => ['--prompt', prompt]), ...flags]);

  test('images are ordered by their cosine with each prompt, also in a table and a contact sheet', async () => {
    const [sheet, table] = [join(root, 'sheet.png'), join(root, 'ranks.csv')];
    const { code, stdout, stderr } = await rank(
      '--json',
      '--no-cache',
      '--out',
      sheet,
      '--csv',
      table,
      '--show',
      '3',
    );
    assert.equal(code, 0, stderr);
    const found = lines<Line>(stdout);
    assert.equal(found.length, 2 * 11);
    for (const prompt of PROMPTS) {
      const own = found.filter((line) => line.prompt === prompt);
      assert.deepEqual(
        own.map(({ rank }) => rank),
        own.map((_, i) => i + 1),
      );
      for (const [i, { similarity }] of own.entries())
        if (i > 0) assert.ok(similarity <= own[i - 1]!.similarity);
      assert.ok(Math.abs(own.reduce((sum, { probability }) => sum + probability, 0) - 1) < 1e-6);
      assert.ok(own[0]!.similarity - own.at(-1)!.similarity > 1e-3, 'features differ');
    }
    await withClip(clip, async (model) => {
      for (const { prompt, file, similarity } of found.slice(0, 4)) {
        const pixels = await decodeImage(file, { size: 16, crop: 'center', preprocessing: 'clip' });
        const [score] = await model.score(prompt, pixels);
        assert.ok(Math.abs(score! - similarity) < 1e-5);
      }
      const [first, second] = found as [Line, Line];
      const ratio = Math.exp(model.logits.scale * (first.similarity - second.similarity));
      assert.ok(Math.abs(first.probability / second.probability / ratio - 1) < 1e-4);
    });
    const { width, height } = await sharp(sheet).metadata();
    assert.ok(width > 3 * 128 && height > 2 * 128);
    const rows = readFileSync(table, 'utf8').trim().split('\n');
    assert.equal(rows[0], 'prompt,rank,file,similarity,probability');
    assert.equal(rows.length, 1 + 2 * 11);
    assert.equal(rows[1]!.split(',')[2], found[0]!.file);
  });

  test('people see the best images first', async () => {
    const { stdout } = await rank('--no-cache', '--top', '2', '--devices', 'cpu:0,cpu:1');
    const all = stdout.trim().split('\n');
    assert.equal(all.length, 2 * 3);
    assert.equal(all[0], PROMPTS[0]);
    assert.match(all[1]!, /^ +1 {2}-?0\.\d{4} +\d+\.\d\d % {2}\S+\.png$/);
  });
});

describe('mm classify', () => {
  const classify = (...flags: string[]) => mm(['classify', '--clip', clip, '--json', '--no-cache', ...flags]);
  interface Image {
    readonly file: string;
    readonly labels: readonly { readonly label: string; readonly probability: number }[];
    readonly truth?: string;
  }
  const labels = ['one', 'two', 'three'];
  const flags = [
    '--template',
    'picture {label}',
    '--template',
    '{label}',
    ...labels.flatMap((label) => ['--label', label]),
  ];

  test('labels are listed by probability; the truth gives accuracy and confusion; a saved classifier gives the same', async () => {
    const saved = join(root, 'classifier.safetensors');
    const { code, stdout, stderr } = await classify(classes, ...flags, '--truth', 'folders', '--save', saved);
    assert.equal(code, 0, stderr);
    const found = lines<
      Image & { accuracy: number; confusion: number[][]; perLabel: Record<string, number> }
    >(stdout);
    const each = found.slice(0, -1);
    assert.equal(each.length, 6);
    let right = 0;
    for (const { file, labels: predicted, truth } of each) {
      assert.equal(truth, basename(join(file, '..')));
      assert.ok(Math.abs(predicted.reduce((sum, { probability }) => sum + probability, 0) - 1) < 1e-6);
      assert.ok(predicted[0]!.probability >= predicted[1]!.probability);
      if (predicted[0]!.label === truth) right++;
    }
    const { accuracy, confusion, perLabel } = found.at(-1)!;
    assert.equal(accuracy, right / 6);
    assert.deepEqual(
      confusion.map((row) => row.reduce((a, b) => a + b)),
      [2, 2, 2],
    );
    for (const [i, label] of labels.entries()) assert.equal(perLabel[label], confusion[i]![i]! / 2);

    const again = await classify(classes, '--classifier', saved);
    assert.equal(again.code, 0, again.stderr);
    assert.deepEqual(
      lines<Image>(again.stdout).map(({ file, labels }) => ({ file, labels })),
      each.map(({ file, labels }) => ({ file, labels })),
    );
    const other = join(root, 'other-clip');
    await writeTinyClip(other, tokenizer, 2);
    const wrong = await mm(['classify', classes, '--clip', other, '--classifier', saved, '--no-cache']);
    assert.equal(wrong.code, EXIT.data);
    assert.match(wrong.stderr, / {2}code: E_CLASSIFIER_OF_OTHER_CLIP\n/);
  });

  test('token shards have the classes of the tar that they are made of: its labels, else its folders', async () => {
    const image = (label: string) => readFileSync(join(classes, label, '0.png'));
    const members = { 'one/a.png': image('one'), 'two/b.png': image('two'), 'two/b.cls': 'three' };
    const [tar, tokens, dvae] = ['classes.tar', 'class-tokens', 'class-dvae'].map((name) =>
      join(root, name),
    ) as [string, string, string];
    writeFileSync(tar, await packTar(members));
    await writeTinyDvae(dvae);
    const made = await mm(['tokenize', '--data', tar, '--dvae', dvae, '--out', tokens]);
    assert.equal(made.code, 0, made.stderr);
    const { code, stdout, stderr } = await classify(tokens, ...flags, '--truth', 'folders', '--dvae', dvae);
    assert.equal(code, 0, stderr);
    assert.deepEqual(
      lines<Image>(stdout)
        .slice(0, -1)
        .map(({ file, truth }) => [file, truth]),
      [
        [join(tokens, 'classes/one/a'), 'one'],
        [join(tokens, 'classes/two/b'), 'three'],
      ],
    );
  });

  test('--truth takes a CSV; an image that does not decode is reported and skipped', async () => {
    const broken = join(root, 'broken');
    mkdirSync(broken);
    copyFileSync(join(classes, 'one', '0.png'), join(broken, 'good.png'));
    writeFileSync(join(broken, 'bad.png'), 'no image');
    const truth = join(broken, 'truth.csv');
    writeFileSync(truth, 'file,label\r\n"good.png","one"\n');
    const { code, stdout, stderr } = await classify(
      broken,
      ...flags,
      '--truth',
      truth,
      '--csv',
      join(broken, 'out.csv'),
    );
    assert.equal(code, 0, stderr);
    assert.match(stderr, /bad\.png/);
    assert.equal(lines<Image>(stdout).length, 2);
    assert.match(readFileSync(join(broken, 'out.csv'), 'utf8'), /good\.png,1,\w+,[\d.]+,one\n/);
  });
});

test('features are cached by content and CLIP: a second run finds all of them, another CLIP none', async () => {
  const cache = join(root, 'cache');
  const library = cacheFolder();
  mkdirSync(cache);
  // The library is looked for in the same cache folder.
  for (const name of readdirSync(library).filter((name) => name !== 'features'))
    symlinkSync(join(library, name), join(cache, name));
  process.env.MM_CACHE = cache;
  const run = async (model: string, start: (flags: readonly string[]) => Promise<Outcome> = mm) => {
    const result = await start([
      'rank',
      images,
      '--clip',
      model,
      '--prompt',
      'a',
      '--json',
      '--log-level',
      'debug',
    ]);
    assert.equal(result.code, 0, result.stderr);
    return {
      found: lines<Line>(result.stdout),
      cached: Number(/(\d+) of 11 features/.exec(result.stderr)?.[1]),
    };
  };
  const first = await run(clip);
  // A separate process, which has only the cache to find them in.
  const second = await run(clip, mmAlone);
  assert.equal(first.cached, 0);
  assert.equal(second.cached, 11);
  assert.deepEqual(second.found, first.found);
  assert.equal(readdirSync(join(cache, 'features')).length, 1);
  const other = join(root, 'cache-clip');
  await writeTinyClip(other, tokenizer, 3);
  assert.equal((await run(other)).cached, 0);
  delete process.env.MM_CACHE;
});

describe('mm convert', () => {
  test("Hugging Face's folder, tokenizer included, gives texts and images the features that it gives them there", async () => {
    const to = join(root, 'from-hugging-face');
    const { code, stdout, stderr } = await mm(['convert', join(FIXTURES, 'transformers'), '--to', to]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /Hugging Face's CLIP, ViT of 2 layers and 3 heads, 16 pixels, 10 features/);
    const { transformers: expected } = JSON.parse(readFileSync(join(FIXTURES, 'expected.json'), 'utf8'));
    await withClip(to, async (model) => {
      const close = (got: Float32Array, wanted: number[]) => {
        assert.equal(got.length, wanted.length);
        for (const [i, value] of got.entries()) assert.ok(Math.abs(value - wanted[i]!) < 1e-4);
      };
      close(await model.encodeTexts(expected.strings), expected.stringFeatures);
      close(await model.encodeImages(Buffer.from(expected.pixels, 'base64')), expected.imageFeatures);
    });
  });

  test("OpenAI's archive with the tokenizer of another model is refused", async () => {
    const { code, stderr } = await mm([
      'convert',
      join(FIXTURES, 'open-clip-vit.pt'),
      ...['--activation', 'gelu', '--preprocessing', 'openai', '--heads', '1', '--text-heads', '1'],
      '--tokenizer',
      tokenizer,
      '--to',
      join(root, 'refused'),
    ]);
    assert.equal(code, EXIT.data);
    assert.match(stderr, /264 .* 38\n[\s\S]* {2}code: E_TOKENIZER_MISMATCH\n/);
  });
});

describe('mistakes', () => {
  const labels = join(root, 'labels.txt');
  const dvae = join(root, 'dvae');
  before(async () => {
    writeFileSync(labels, 'cat\ndog\ncat\n');
    await writeTinyDvae(dvae);
  });
  const classify = ['classify', images, '--clip', clip, '--no-cache'];
  const to = join(root, 'converted');
  testRefusals({
    'labels that repeat': {
      flags: [...classify, '--labels', labels],
      exit: EXIT.usage,
      code: 'E_LABELS_REPEATED',
      at: 'labels.txt',
      says: [/1 and 3.*cat/],
    },
    'a label that is empty': {
      flags: [...classify, '--label', 'cat', '--label', ' '],
      exit: EXIT.usage,
      code: 'E_LABEL_EMPTY',
      says: [/2/],
    },
    'one label': { flags: [...classify, '--label', 'cat'], exit: EXIT.usage, code: 'E_LABELS_TOO_FEW' },
    'no labels': { flags: classify, exit: EXIT.usage, code: 'E_NO_LABELS', at: '--labels' },
    'a template without {label}': {
      flags: [...classify, '--label', 'a', '--label', 'b', '--template', 'a photo'],
      exit: EXIT.usage,
      code: 'E_TEMPLATE',
      says: [/\{label\}.*a photo/],
    },
    'no label listed': {
      flags: [...classify, '--label', 'a', '--label', 'b', '--top-k', '0'],
      exit: EXIT.usage,
      code: 'E_OPTION_VALUE',
      at: '--top-k',
      says: [/received 0/],
    },
    'softmax of a CLIP of the sigmoid loss': {
      flags: ['rank', images, '--clip', siglip, '--prompt', 'a', '--probabilities', 'softmax'],
      exit: EXIT.usage,
      code: 'E_PROBABILITIES',
      at: siglip,
      says: [/--probabilities/, /sigmoid loss/],
    },
    'sigmoids of a CLIP of the softmax loss': {
      flags: [
        'classify',
        images,
        '--clip',
        clip,
        '--label',
        'a',
        '--label',
        'b',
        '--probabilities',
        'sigmoid',
      ],
      exit: EXIT.usage,
      code: 'E_PROBABILITIES',
      at: clip,
      says: [/--probabilities/, /softmax loss/],
    },
    'half an image listed': {
      flags: ['rank', images, '--clip', clip, '--prompt', 'a', '--top', '0.5'],
      exit: EXIT.usage,
      code: 'E_OPTION_VALUE',
      at: '--top',
      says: [/received 0\.5/],
    },
    'a text that is too long': {
      flags: ['rank', images, '--clip', clip, '--no-cache', '--prompt', 'w x y z '.repeat(9)],
      exit: EXIT.data,
      code: 'E_TEXT_TOO_LONG',
      says: [/tokens, .* 12/, /--truncate/],
    },
    'a checkpoint of another kind': {
      flags: ['rank', images, '--clip', dvae, '--prompt', 'a'],
      exit: EXIT.data,
      code: 'E_CHECKPOINT_KIND',
      says: [/dvae.* clip/],
    },
    'no images': {
      flags: ['rank', join(root, 'none'), '--clip', clip, '--prompt', 'a'],
      exit: EXIT.data,
      code: 'E_NOT_FOUND',
      at: 'none',
    },
    'images in a folder that is no label': {
      flags: [
        ...['classify', classes, '--clip', clip, '--no-cache', '--truth', 'folders'],
        ...['--label', 'one', '--label', 'two', '--template', '{label}'],
      ],
      exit: EXIT.usage,
      code: 'E_UNKNOWN_LABEL',
      at: /three/,
    },
    'OpenAI weights without a tokenizer': {
      flags: ['convert', join(FIXTURES, 'open-clip-vit.pt'), '--to', to],
      exit: EXIT.usage,
      code: 'E_TOKENIZER_MISSING',
      says: [/bpe_simple_vocab/, /set --tokenizer/],
    },
  });
});
