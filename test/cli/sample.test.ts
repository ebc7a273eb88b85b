import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import sharp from 'sharp';
import { pngSize, readPngMetadata } from '../../src/report/images/png.ts';
import { EXIT } from '../../src/util/errors.ts';
import { signalWhen } from '../support/interruption.ts';
import { mm } from '../support/mm.ts';
import { asksForSetup, type Refusal, testRefusals } from '../support/refusal.ts';
import { TINY, writeImages, writeTinyDvae } from '../support/tiny-dvae.ts';
import { dalleConfig, dalleSession, writeTokenizer } from '../support/tiny-runs.ts';

const root = mkdtempSync(join(tmpdir(), 'mm-sample-'));
const dvae = join(root, 'dvae');
/** A run whose model has seen empty captions, and one whose model has not. */
const dalle = join(root, 'dalle');
const captionedOnly = join(root, 'captioned-only');
const PROMPTS = ['picture 1', 'Image 12: étoile ★'];

before(async () => {
  const data = { path: join(root, 'images'), dvae, tokenizer: join(root, 'tokenizer.json') };
  await writeImages(data.path, 14);
  await writeTinyDvae(dvae);
  await writeTokenizer(data.tokenizer, data.path);
  const brief = { steps: 3, samples: { count: 0 } };
  const wide = dalleConfig(data, 0, brief);
  await dalleSession({ ...wide, model: { ...wide.model, textLength: 24 } })(dalle);
  await dalleSession(dalleConfig(data, 0, { ...brief, nullCaptions: 0 }))(captionedOnly);
});
after(() => rmSync(root, { recursive: true }));

interface Line {
  readonly prompt: string;
  readonly seed: number;
  readonly file: string;
}

async function sample(out: string, ...flags: string[]): Promise<Line[]> {
  const { code, stdout, stderr } = await mm([
    'sample',
    '--dalle',
    dalle,
    '--out',
    join(root, out),
    '--json',
    ...flags,
  ]);
  assert.equal(code, 0, stderr);
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
}

const both = PROMPTS.flatMap((prompt) => ['--prompt', prompt]);
const pixels = (file: string): Promise<Buffer> => sharp(file).raw().toBuffer();
const allPixels = (lines: readonly Line[]): Promise<Buffer[]> =>
  Promise.all(lines.map(({ file }) => pixels(file)));

describe('images for prompts', () => {
  let lines: Line[];
  before(async () => {
    lines = await sample('first', ...both, '--count', '3', '--seed', '5');
  });

  test('one for each prompt and seed, which say how they were made, a grid and a page', async () => {
    assert.deepEqual(
      lines.map(({ prompt, seed }) => [prompt, seed]),
      PROMPTS.flatMap((prompt) => [5, 6, 7].map((seed) => [prompt, seed])),
    );
    for (const { prompt, seed, file } of lines) {
      assert.deepEqual(pngSize(readFileSync(file)), { width: TINY.imageSize, height: TINY.imageSize });
      const metadata = await readPngMetadata(file);
      assert.equal(metadata.prompt, prompt);
      assert.equal(metadata.seed, String(seed));
      assert.match(metadata.model!, /^[0-9a-f]{64}$/);
      assert.deepEqual(JSON.parse(metadata.settings!), { temperature: 1, guidance: 1 });
    }
    const made = readdirSync(join(root, 'first'));
    assert.equal(made.length, lines.length + 2);
    assert.ok(made.includes('grid.png'));
    const page = readFileSync(join(root, 'first', 'index.html'), 'utf8');
    assert.equal(page.match(/<img /g)?.length, lines.length);
    assert.ok(page.includes(PROMPTS[1]!));
    assert.ok(new Set((await allPixels(lines)).map(String)).size > 1, 'they are all alike');
  });

  test('the same again, whatever the batch; guidance 1 is none', async () => {
    const again = await sample(
      'again',
      ...both,
      '--count',
      '3',
      '--seed',
      '5',
      '--batch-size',
      '1',
      '--guidance',
      '1',
    );
    assert.deepEqual(await allPixels(again), await allPixels(lines));
    for (const [i, { file }] of again.entries())
      assert.deepEqual(readFileSync(file), readFileSync(lines[i]!.file));
  });

  test('the image of a seed is the same whatever else is drawn; another seed gives another', async () => {
    const [one] = await sample('one', '--prompt', PROMPTS[1]!, '--count', '1', '--seed', '6');
    const [, , , , same] = lines;
    assert.deepEqual([one!.prompt, one!.seed], [same!.prompt, same!.seed]);
    assert.deepEqual(await pixels(one!.file), await pixels(same!.file));
    assert.notDeepEqual(await pixels(one!.file), await pixels(lines[3]!.file));
  });

  test('DALLE-pytorch’s names for the flags; guidance and filters are kept with the image', async () => {
    const flags = ['--text', PROMPTS[0]!, '--num_images', '2', '--top_k', '0.75', '--batch_size', '2'];
    const { code, stdout, stderr } = await mm([
      ...['sample', '--dalle_path', dalle, '--outputs_dir', join(root, 'theirs'), ...flags],
      ...['--top-p', '0.9', '--guidance', '2', '--temperature', '0.5', '--quiet'],
    ]);
    assert.equal(code, 0, stderr);
    assert.equal(stderr, '');
    assert.match(stdout, /^2 images in .*theirs\n.*grid\.png\n.*index\.html\n$/);
    const [file] = readdirSync(join(root, 'theirs')).filter((name) => name.startsWith('0000-'));
    const { settings } = await readPngMetadata(join(root, 'theirs', file!));
    assert.deepEqual(JSON.parse(settings!), { temperature: 0.5, 'top-k': 6, 'top-p': 0.9, guidance: 2 });
  });

  test('a prompt that is too long is cut when --truncate says so', async () => {
    const [line] = await sample('cut', '--prompt', 'a very long '.repeat(9), '--count', '1', '--truncate');
    assert.ok(existsSync(line!.file));
  });

  test('Ctrl-C keeps the images that are finished, with their grid and page', async () => {
    const out = join(root, 'interrupted');
    const images = (): string[] =>
      existsSync(out) ? readdirSync(out).filter((name) => /^\d{4}-.*\.png$/.test(name)) : [];
    const isThere = (): boolean => images().length > 2;
    const flags = ['--prompt', PROMPTS[0]!, '--count', '2000', '--batch-size', '1', '--out', out];
    const { code, stdout, stderr } = await mm(
      ['sample', '--dalle', dalle, ...flags],
      signalWhen('SIGINT', isThere),
    );
    assert.equal(code, EXIT.interrupted, stderr);
    assert.equal(stdout, '');
    assert.match(stderr, /error: stopped; the images that were finished are kept\n {2}at: {2}.*interrupted/);
    const made = images();
    assert.ok(made.length > 2 && made.length < 2000);
    for (const name of [...made, 'grid.png']) assert.ok((await pixels(join(out, name))).length > 0);
    assert.deepEqual(readdirSync(out).sort(), [...made, 'grid.png', 'index.html'].sort());
    const page = readFileSync(join(out, 'index.html'), 'utf8');
    assert.equal(page.match(/<img /g)?.length, made.length);
  });
});

describe('more than prompts', () => {
  const settings = ['--guidance', '2', '--temperature', '0.8', '--seed', '4', '--count', '1'];
  const photo = join(root, 'images', 'b', '001.png');

  test('an image is begun by another, led away from a prompt, and repeated from its file alone', async () => {
    const [line] = await sample(
      ...([
        'controls',
        '--prompt',
        PROMPTS[1]!,
        '--negative',
        'picture 7',
        '--prime',
        photo,
        '--keep-rows',
        '2',
      ] as const),
      ...settings,
    );
    const metadata = await readPngMetadata(line!.file);
    assert.equal(metadata.negative, 'picture 7');
    assert.equal(metadata.prime!.split(' ').length, 2 * 4);
    const out = join(root, 'controls');
    const { code, stdout, stderr } = await mm(['sample', '--like', line!.file, '--out', out, '--grid', '1']);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^1 image in [\s\S]*\nthe same as .*0000-.*\.png, to the pixel\n$/);
    const files = readdirSync(out).filter((name) => name.startsWith('000'));
    assert.deepEqual(
      files.map((name) => name.slice(0, 4)),
      ['0000', '0001'],
      'no image is written over',
    );
    assert.deepEqual(readFileSync(join(out, files[1]!)), readFileSync(line!.file));

    const changed = await mm(['sample', '--like', line!.file, '--out', out, '--seed', '5', '--no-grid']);
    assert.equal(changed.code, 0, changed.stderr);
    assert.doesNotMatch(changed.stdout, /the same as|grid\.png/);
    const refused = await mm(['sample', '--like', line!.file, '--dalle', captionedOnly, '--out', out]);
    assert.equal(refused.code, EXIT.data);
    assert.equal(new Set(refused.stderr.match(/[0-9a-f]{64}/g)).size, 2, refused.stderr);
  });

  test('a caption is gone on with, shown, and drawn', async () => {
    const { code, stdout, stderr } = await mm([
      ...['sample', '--dalle', dalle, '--out', join(root, 'completed'), '--complete', 'Pict', ...settings],
    ]);
    assert.equal(code, 0, stderr);
    const [, caption] = /^Pict… → (pict.+)\n1 image in /.exec(stdout) ?? [];
    assert.ok(caption, stdout);
    const [file] = readdirSync(join(root, 'completed')).filter((name) => name.startsWith('0000-'));
    const metadata = await readPngMetadata(join(root, 'completed', file!));
    assert.deepEqual([metadata.prompt, metadata['completed-from']], [caption, 'Pict']);
  });

  test('the grid has as many columns as --grid says', async () => {
    const widths = await Promise.all(
      ['1', '4'].map(async (columns) => {
        await sample(`grid-${columns}`, '--prompt', 'a', '--count', '4', '--grid', columns);
        return pngSize(readFileSync(join(root, `grid-${columns}`, 'grid.png'))).width;
      }),
    );
    assert.ok(widths[1]! > 3 * widths[0]!, String(widths));
  });

  test('prompts of any text: files stay in the folder, whole, one for each', async () => {
    const prompts = [
      '../../escape',
      'C:\\con\\aux',
      '🙂🙃',
      'دائرة حمراء',
      'a\u0001b',
      '-',
      'x'.repeat(10_000),
    ];
    const lines = await sample(
      ...(['odd', ...prompts.map((prompt) => `--prompt=${prompt}`)] as const),
      ...['--truncate', '--count', '1', '--preview'],
    );
    assert.deepEqual(
      lines.map(({ prompt }) => prompt),
      prompts,
    );
    const made = readdirSync(join(root, 'odd'));
    assert.equal(made.length, prompts.length + 2);
    for (const { file, prompt } of lines) {
      assert.equal(dirname(file), join(root, 'odd'));
      assert.ok(made.includes(basename(file)));
      assert.equal((await readPngMetadata(file)).prompt, prompt);
    }
  });
});

describe('what cannot be done is one error that says what, where and the fix', () => {
  const out = join(root, 'never');
  const damaged = join(root, 'damaged');
  const partial = join(root, 'partial');
  const fresh = join(root, 'fresh');
  before(() => {
    for (const copy of [damaged, partial])
      cpSync(join(dalle, 'checkpoints', 'step-3'), copy, { recursive: true });
    const weights = join(damaged, 'dvae', 'model.safetensors');
    const bytes = readFileSync(weights);
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(weights, bytes);
    rmSync(join(partial, 'ema.safetensors'));
    cpSync(dalle, fresh, { recursive: true });
    rmSync(join(fresh, 'checkpoints', 'step-3'), { recursive: true });
  });

  const prompt = ['--prompt', 'picture 1'];
  const image = join(root, 'images', 'a', '000.png');
  const flag = (name: string, value: string): Omit<Refusal, 'flags'> & { flags: string[] } => ({
    flags: [...prompt, name, value],
    code: EXIT.usage,
    says: [new RegExp(`${name} is a .*, and got ${value}`)],
  });
  const cases: Record<string, Omit<Refusal, 'flags'> & { flags: string[]; dalle?: string }> = {
    'no prompt': { flags: [], code: EXIT.usage, says: [/prompt/] },
    'an empty prompt': { flags: ['--prompt', ''], code: EXIT.usage, says: [/the prompt is empty/] },
    'a prompt of spaces': { flags: ['--prompt', '  '], code: EXIT.usage, says: [/the prompt is empty/] },
    'a prompt that is too long': {
      flags: ['--prompt', 'a very long '.repeat(9)],
      code: EXIT.data,
      says: [/the prompt has \d+ tokens, the model reads 24/, /--truncate/],
    },
    'a temperature of 0': flag('--temperature', '0'),
    'a temperature that is no number': {
      ...flag('--temperature', 'warm'),
      says: [/--temperature is a number above 0/],
    },
    'a top-k of 0': {
      ...flag('--top-k', '0'),
      says: [/--top-k is a whole number, or a share below 1, and got 0/],
    },
    'a top-k of 2.5': { ...flag('--top-k', '2.5'), says: [/--top-k is a whole number/] },
    'a top-p of 0': flag('--top-p', '0'),
    'a top-p above 1': flag('--top-p', '1.01'),
    'guidance below 0': flag('--guidance', '-1'),
    'a count of 0': flag('--count', '0'),
    'a batch of 1.5': flag('--batch-size', '1.5'),
    'a seed below 0': flag('--seed', '-3'),
    'an unknown flag': { flags: [...prompt, '--temprature', '1'], code: EXIT.usage, says: [/temprature/] },
    'guidance for a model that saw no empty captions': {
      dalle: captionedOnly,
      flags: [...prompt, '--guidance', '2'],
      code: EXIT.usage,
      says: [/guidance 2 needs a model that was trained with empty captions/, /train\.nullCaptions/],
    },
    '--prime without --keep-rows': {
      flags: [...prompt, '--prime', 'photo.jpg'],
      code: EXIT.usage,
      says: [/--prime needs --keep-rows N beside it/],
    },
    '--keep-rows without --prime': {
      flags: [...prompt, '--keep-rows', '2'],
      code: EXIT.usage,
      says: [/--keep-rows needs --prime FILE beside it/],
    },
    'keeping no row': {
      flags: [...prompt, '--prime', 'photo.jpg', '--keep-rows', '0'],
      code: EXIT.usage,
      says: [/--keep-rows is a whole number from 1 on, and got 0/],
    },
    'keeping all rows': {
      flags: [...prompt, '--prime', image, '--keep-rows', '4'],
      code: EXIT.usage,
      says: [/--keep-rows 4 leaves nothing to draw: images have 4 rows/, /keep from 1 to 3 rows/],
    },
    'an image to begin with that is not there': {
      flags: [...prompt, '--prime', 'photo.jpg', '--keep-rows', '2'],
      code: EXIT.data,
      says: [/cannot be used: the file is gone/, /at: {2}photo\.jpg/],
    },
    'an image to begin with that is none': {
      flags: [...prompt, '--prime', join(root, 'tokenizer.json'), '--keep-rows', '2'],
      code: EXIT.data,
      says: [/cannot be used: not an image of a known format/],
    },
    'a negative prompt without guidance': {
      flags: [...prompt, '--negative', 'blue'],
      code: EXIT.usage,
      says: [/--negative acts through guidance, and guidance is 1/, /set --guidance above 1/],
    },
    'an empty beginning among prompts that are empty': {
      flags: ['--prompt', '', '--complete', 'a'],
      code: EXIT.usage,
      says: [/the prompt is empty/],
    },
    'a grid of half a column': flag('--grid', '0.5'),
    'an image of no recipe': {
      flags: ['--like', image],
      code: EXIT.data,
      says: [/the image does not say how it was made/, /000\.png/],
    },
    'an image like one that is none': {
      flags: ['--like', join(root, 'tokenizer.json')],
      code: EXIT.data,
      says: [/not a PNG file/],
    },
    'an image like one that is not there': {
      flags: ['--like', 'none.png'],
      code: EXIT.data,
      says: [/the image cannot be read/, /none\.png/],
    },
    'images in a folder that is a file': {
      flags: [...prompt, '--out', join(root, 'tokenizer.json', 'samples')],
      code: EXIT.data,
      says: [/a file stands where a folder is needed/, /tokenizer\.json/],
    },
    'no checkpoint': {
      dalle: join(root, 'missing'),
      flags: prompt,
      code: EXIT.data,
      says: [/there is no such checkpoint/, /missing/],
    },
    'a file for a checkpoint': {
      dalle: join(root, 'tokenizer.json'),
      flags: prompt,
      code: EXIT.data,
      says: [/a checkpoint is a folder/],
    },
    'a dVAE for a DALL·E': {
      dalle: dvae,
      flags: prompt,
      code: EXIT.data,
      says: [/a dvae checkpoint, where one of a dalle is needed/, /mm train-dalle/],
    },
    'a damaged checkpoint': {
      dalle: damaged,
      flags: prompt,
      code: EXIT.data,
      says: [/not as it was written/, /dvae.model\.safetensors/],
    },
    'a checkpoint with a file missing': {
      dalle: partial,
      flags: prompt,
      code: EXIT.data,
      says: [/a file of the checkpoint is missing/, /ema\.safetensors/],
    },
    'a run without a checkpoint': {
      dalle: fresh,
      flags: prompt,
      code: EXIT.data,
      says: [/the run has no whole checkpoint/],
    },
  };
  testRefusals({
    'no model': {
      flags: ['sample', '--out', out, ...prompt],
      code: EXIT.usage,
      says: [/--dalle is missing: it says which model draws/],
    },
  });
  testRefusals(
    Object.fromEntries(
      Object.entries(cases).map(([name, { flags, dalle: model = dalle, ...refusal }]) => [
        name,
        {
          ...refusal,
          flags: ['sample', '--dalle', model, ...(flags.includes('--out') ? [] : ['--out', out]), ...flags],
        },
      ]),
    ),
  );

  test('and nothing was written', () => {
    assert.ok(!existsSync(out));
  });
});

test('without the library: exit code 4 and mm setup', () =>
  asksForSetup(
    ['sample', '--dalle', dalle, '--out', join(root, 'never'), '--prompt', 'picture 1'],
    join(root, 'empty-cache'),
  ));
