// mm sample as a user calls it.

import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import sharp from 'sharp';
import { pngSize, readPngMetadata } from '../../src/report/images/png.ts';
import { EXIT } from '../../src/util/errors.ts';
import { signalWhen } from '../support/interruption.ts';
import { mm as mmAlone, type Outcome } from '../support/mm.ts';
import { mmTogether } from '../support/mm-each.ts';
import { asksForSetup, type Refusal, testRefusals } from '../support/refusal.ts';
import { TINY } from '../support/tiny-dvae.ts';
import { dalleConfig, dalleSession, writeDalleData } from '../support/tiny-runs.ts';

const mm = mmTogether();

const root = mkdtempSync(join(tmpdir(), 'mm-sample-'));
const dvae = join(root, 'dvae');
/** A run trained with empty captions, and one without. */
const dalle = join(root, 'dalle');
const captionedOnly = join(root, 'captioned-only');
const PROMPTS = ['picture 1', 'Image 12: étoile ★'];

before(async () => {
  const data = await writeDalleData(root, 14);
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
  return linesOf(await mm(sampling(out, flags)));
}

const sampling = (out: string, flags: readonly string[]): string[] => [
  ...['sample', '--dalle', dalle, '--out', join(root, out), '--json'],
  ...flags,
];

function linesOf({ code, stdout, stderr }: Outcome): Line[] {
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
    lines = linesOf(await mmAlone(sampling('first', [...both, '--count', '3', '--seed', '5'])));
  });

  test('each prompt and seed gives an image with its recipe; a grid and a page show all of them', async () => {
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
    assert.ok(new Set((await allPixels(lines)).map(String)).size > 1, 'the images are all equal');
  });

  test('a second run gives the same images, whatever the batch and the devices, and guidance 1 is no guidance', async () => {
    const again = await sample(
      'again',
      ...both,
      '--count',
      '3',
      '--seed',
      '5',
      '--batch-size',
      '1',
      '--devices',
      'cpu:0,cpu:1',
      '--guidance',
      '1',
    );
    assert.deepEqual(await allPixels(again), await allPixels(lines));
    for (const [i, { file }] of again.entries())
      assert.deepEqual(readFileSync(file), readFileSync(lines[i]!.file));
  });

  test('an image depends on its own seed alone', async () => {
    const [one] = await sample('one', '--prompt', PROMPTS[1]!, '--count', '1', '--seed', '6');
    const [, , , , same] = lines;
    assert.deepEqual([one!.prompt, one!.seed], [same!.prompt, same!.seed]);
    assert.deepEqual(await pixels(one!.file), await pixels(same!.file));
    assert.notDeepEqual(await pixels(one!.file), await pixels(lines[3]!.file));
  });

  test('the flags of DALLE-pytorch are accepted, and the settings are kept with the image', async () => {
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

  test('--truncate cuts a prompt that is too long', async () => {
    const [line] = await sample('cut', '--prompt', 'a very long '.repeat(9), '--count', '1', '--truncate');
    assert.ok(existsSync(line!.file));
  });

  test('Ctrl-C keeps the finished images, with their grid and page', async () => {
    const out = join(root, 'interrupted');
    const images = (): string[] =>
      existsSync(out) ? readdirSync(out).filter((name) => /^\d{4}-.*\.png$/.test(name)) : [];
    const isThere = (): boolean => images().length > 2;
    const flags = ['--prompt', PROMPTS[0]!, '--count', '2000', '--batch-size', '1', '--out', out];
    const { code, stdout, stderr } = await mmAlone(
      ['sample', '--dalle', dalle, ...flags],
      signalWhen('SIGINT', isThere),
    );
    assert.equal(code, EXIT.interrupted, stderr);
    assert.equal(stdout, '');
    assert.match(stderr, / {2}at: {2}.*interrupted\n {2}code: E_INTERRUPTED\n/);
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

  test('--prime, --negative and guidance shape an image, and --like repeats it from its file alone', async () => {
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
    assert.match(stdout, /^1 image in [\s\S]*\nequal to .*0000-.*\.png in every pixel\n$/);
    const files = readdirSync(out).filter((name) => name.startsWith('000'));
    assert.deepEqual(
      files.map((name) => name.slice(0, 4)),
      ['0000', '0001'],
      'no image is overwritten',
    );
    assert.deepEqual(readFileSync(join(out, files[1]!)), readFileSync(line!.file));

    const changed = await mm(['sample', '--like', line!.file, '--out', out, '--seed', '5', '--no-grid']);
    assert.equal(changed.code, 0, changed.stderr);
    assert.doesNotMatch(changed.stdout, /equal to|grid\.png/);
    const refused = await mm(['sample', '--like', line!.file, '--dalle', captionedOnly, '--out', out]);
    assert.equal(refused.code, EXIT.data);
    assert.match(refused.stderr, / {2}code: E_MODEL_DIFFERS\n/);
    assert.equal(new Set(refused.stderr.match(/[0-9a-f]{64}/g)).size, 2, refused.stderr);
  });

  test('--complete shows the completed caption, and samples an image for it', async () => {
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

  test('--grid sets the columns of the grid', async () => {
    const widths = await Promise.all(
      ['1', '4'].map(async (columns) => {
        await sample(`grid-${columns}`, '--prompt', 'a', '--count', '4', '--grid', columns);
        return pngSize(readFileSync(join(root, `grid-${columns}`, 'grid.png'))).width;
      }),
    );
    assert.ok(widths[1]! > 3 * widths[0]!, String(widths));
  });

  test('prompts of any text give one whole file each, inside the folder', async () => {
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

describe('mistakes', () => {
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
  type Case = Omit<Refusal, 'flags'> & { flags: string[]; dalle?: string };
  const usage = (code: Refusal['code'], flags: string[], at?: string, ...says: RegExp[]): Case => ({
    flags: [...prompt, ...flags],
    exit: EXIT.usage,
    code,
    says,
    ...(at !== undefined && { at }),
  });
  const data = (code: Refusal['code'], flags: string[], at: RegExp | string, ...says: RegExp[]): Case => ({
    flags,
    exit: EXIT.data,
    code,
    at,
    says,
  });
  const value = (flag: string, received: string): Case =>
    usage('E_OPTION_VALUE', [flag, received], flag, new RegExp(`${flag}: .*received ${received}\n`));
  const like = (file: string): string[] => ['--like', file];
  const prime = (file: string, rows: string): string[] => [
    ...prompt,
    ...['--prime', file, '--keep-rows', rows],
  ];
  const cases: Record<string, Case> = {
    'no prompt': { ...usage('E_PROMPT_MISSING', [], '--prompt'), flags: [] },
    'an empty prompt': { ...usage('E_PROMPT_EMPTY', []), flags: ['--prompt', ''] },
    'a prompt of spaces': { ...usage('E_PROMPT_EMPTY', []), flags: ['--prompt', '  '] },
    'an empty prompt beside a beginning to complete': {
      ...usage('E_PROMPT_EMPTY', []),
      flags: ['--prompt', '', '--complete', 'a'],
    },
    'a prompt that is too long': data(
      'E_PROMPT_TOO_LONG',
      ['--prompt', 'a very long '.repeat(9)],
      /^a very long/,
      /\d+ tokens, .* 24\n/,
      /--truncate/,
    ),
    'a temperature of 0': value('--temperature', '0'),
    'a temperature that is no number': usage(
      'E_OPTION_VALUE',
      ['--temperature', 'warm'],
      '--temperature',
      /received NaN/,
    ),
    'a top-k of 0': value('--top-k', '0'),
    'a top-k of 2.5': value('--top-k', '2.5'),
    'a top-p of 0': value('--top-p', '0'),
    'a top-p above 1': value('--top-p', '1.01'),
    'guidance below 0': value('--guidance', '-1'),
    'a count of 0': value('--count', '0'),
    'a batch of 1.5': value('--batch-size', '1.5'),
    'a seed below 0': value('--seed', '-3'),
    'a grid of half a column': value('--grid', '0.5'),
    'keeping no row': usage(
      'E_OPTION_VALUE',
      ['--prime', 'photo.jpg', '--keep-rows', '0'],
      '--keep-rows',
      /received 0\n/,
    ),
    'an unknown flag': usage('E_FLAG_UNKNOWN', ['--temprature', '1'], '--temprature'),
    'guidance for a model trained without empty captions': {
      ...usage('E_GUIDANCE_UNTRAINED', ['--guidance', '2'], '--guidance', /2/, /train\.nullCaptions/),
      dalle: captionedOnly,
    },
    '--prime without --keep-rows': usage('E_FLAG_CONFLICT', ['--prime', 'photo.jpg'], '--prime'),
    '--keep-rows without --prime': usage('E_FLAG_CONFLICT', ['--keep-rows', '2'], '--keep-rows'),
    'a negative prompt without guidance': usage(
      'E_NEGATIVE_WITHOUT_GUIDANCE',
      ['--negative', 'blue'],
      '--negative',
      /--guidance.* received 1\n/,
    ),
    'keeping all rows': {
      ...usage('E_PRIME_ROWS', [], '--keep-rows', /--keep-rows 4 .* 4 rows/, /from 1 to 3/),
      flags: prime(image, '4'),
    },
    'an image of --prime that is missing': data('E_PRIME_IMAGE', prime('photo.jpg', '2'), 'photo.jpg'),
    'an image of --prime that is none': data(
      'E_PRIME_IMAGE',
      prime(join(root, 'tokenizer.json'), '2'),
      'tokenizer.json',
    ),
    'an image of --like without a recipe': data('E_RECIPE_MISSING', like(image), '000.png'),
    'an image of --like that is no PNG': data(
      'E_PNG_DAMAGED',
      like(join(root, 'tokenizer.json')),
      'tokenizer.json',
    ),
    'an image of --like that is missing': data('E_UNREADABLE', like('none.png'), 'none.png'),
    'an output folder below a file': data(
      'E_FILE_IN_THE_WAY',
      [...prompt, '--out', join(root, 'tokenizer.json', 'samples')],
      /tokenizer\.json/,
    ),
    'no checkpoint': { ...data('E_CHECKPOINT_NOT_FOUND', prompt, 'missing'), dalle: join(root, 'missing') },
    'a file for a checkpoint': {
      ...data('E_CHECKPOINT_IS_FILE', prompt, 'tokenizer.json'),
      dalle: join(root, 'tokenizer.json'),
    },
    'a dVAE for a DALL·E': {
      ...data('E_CHECKPOINT_KIND', prompt, /dvae/, /dvae.* dalle/, /mm train-dalle/),
      dalle: dvae,
    },
    'a damaged checkpoint': {
      ...data('E_CHECKPOINT_DAMAGED', prompt, /dvae.model\.safetensors$/),
      dalle: damaged,
    },
    'a checkpoint with a file missing': {
      ...data('E_CHECKPOINT_DAMAGED', prompt, 'ema.safetensors'),
      dalle: partial,
    },
    'a run without a checkpoint': { ...data('E_NO_CHECKPOINT', prompt, /fresh/), dalle: fresh },
  };
  testRefusals({
    'no model': {
      flags: ['sample', '--out', out, ...prompt],
      exit: EXIT.usage,
      code: 'E_MODEL_MISSING',
      at: '--dalle',
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

  test('no refused command writes anything', () => {
    assert.ok(!existsSync(out));
  });
});

test('without the library, mm sample asks for mm setup', () =>
  asksForSetup(
    ['sample', '--dalle', dalle, '--out', join(root, 'never'), '--prompt', 'picture 1'],
    join(root, 'empty-cache'),
  ));
