// mm sample --best-of and --prompts, as a user calls them.

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import sharp from 'sharp';
import { readCheckpoint } from '../../src/checkpoint/read.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { ClipPipeline } from '../../src/inference/clip/pipeline.ts';
import { imageGrid } from '../../src/report/images/grid.ts';
import { readPngMetadata } from '../../src/report/images/png.ts';
import { EXIT } from '../../src/util/errors.ts';
import { mm as mmAlone } from '../support/mm.ts';
import { mmTogether } from '../support/mm-each.ts';
import { type Refusal, testRefusals } from '../support/refusal.ts';
import { writeTinyClip } from '../support/tiny-clip.ts';
import { TINY, writeImages, writeTinyDvae } from '../support/tiny-dvae.ts';
import { dalleConfig, dalleSession, writeTokenizer } from '../support/tiny-runs.ts';

const mm = mmTogether();

const root = mkdtempSync(join(tmpdir(), 'mm-best-of-'));
const [dvae, dalle, tokenizer] = ['dvae', 'dalle', 'tokenizer.json'].map((name) => join(root, name)) as [
  string,
  string,
  string,
];
/** CLIPs: of the images' size; of another size; of too short a text for the second prompt. */
const [clip, larger, short] = ['clip', 'larger', 'short'].map((name) => join(root, name)) as [
  string,
  string,
  string,
];
const PROMPTS = ['picture 1', 'Image 12: étoile ★'] as const;
const CANDIDATES = 7;

interface Line {
  readonly prompt: string;
  readonly seed: number;
  readonly file: string;
  readonly score?: number;
}

const lines = <T>(stdout: string): T[] =>
  stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as T);

async function sample(out: string, ...flags: string[]): Promise<Line[]> {
  const { code, stdout, stderr } = await mm([
    ...['sample', '--dalle', dalle, '--out', join(root, out), '--json', ...flags],
  ]);
  assert.equal(code, 0, stderr);
  return lines(stdout);
}

const both = PROMPTS.flatMap((prompt) => ['--prompt', prompt]);
const pixels = (file: string): Promise<Buffer> => sharp(file).raw().toBuffer();

/** All candidates, sampled without --best-of. */
let all: Line[];
before(async () => {
  const data = { path: join(root, 'images'), dvae, tokenizer };
  await writeImages(data.path, 14);
  await writeTinyDvae(dvae);
  await writeTokenizer(tokenizer, data.path);
  const config = dalleConfig(data, 0, { steps: 3, samples: { count: 0 } });
  await dalleSession({ ...config, model: { ...config.model, textLength: 24 } })(dalle);
  const text = { vocabulary: config.model.textVocabulary + 2, length: 26, width: 16, layers: 1, heads: 2 };
  await writeTinyClip(clip, tokenizer, 1, { text });
  const image = { size: 24, patch: 8, width: 16, layers: 1, heads: 2 };
  await writeTinyClip(larger, tokenizer, 2, { text, image });
  await writeTinyClip(short, tokenizer);
  all = await sample('all', ...both, '--count', String(CANDIDATES), '--seed', '5');
});
after(() => rmSync(root, { recursive: true }));

/** The candidates of a prompt with cosines computed here, the best first. */
async function ranked(prompt: string): Promise<{ line: Line; score: number }[]> {
  const runtime = new Runtime();
  try {
    const model = await ClipPipeline.open(
      runtime,
      await readCheckpoint(clip, { kind: 'clip', warn: assert.fail }),
    );
    const text = await model.encodeTexts([prompt]);
    const own = all.filter((line) => line.prompt === prompt);
    assert.equal(own.length, CANDIDATES);
    const found = [];
    for (const line of own) {
      const image = await model.encodeImages(await pixels(line.file));
      found.push({ line, score: image.reduce((sum, value, i) => sum + value * text[i]!, 0) });
    }
    return found.sort((a, b) => b.score - a.score);
  } finally {
    await runtime.close();
  }
}

describe('--best-of', () => {
  const KEPT = 3;
  let best: Line[];
  before(async () => {
    const choice = ['--best-of', String(CANDIDATES), '--keep', String(KEPT), '--clip', clip];
    // Batches end in the midst of a prompt, and hold two.
    best = await sample('best', ...both, ...choice, '--seed', '5', '--batch-size', '3');
  });

  test('the images with the highest scores are kept, in order, each that of its seed', async () => {
    assert.deepEqual(
      best.map(({ prompt }) => prompt),
      PROMPTS.flatMap((prompt) => Array.from({ length: KEPT }, () => prompt)),
    );
    for (const [i, prompt] of PROMPTS.entries()) {
      const wanted = await ranked(prompt);
      for (const [rank, { score }] of wanted.entries())
        if (rank > 0) assert.ok(wanted[rank - 1]!.score - score > 1e-5, 'scores that differ');
      const own = best.slice(i * KEPT, (i + 1) * KEPT);
      assert.deepEqual(
        own.map(({ seed }) => seed),
        wanted.slice(0, KEPT).map(({ line }) => line.seed),
      );
      for (const [rank, { file, score }] of own.entries()) {
        assert.ok(Math.abs(score! - wanted[rank]!.score) < 1e-5);
        assert.deepEqual(await pixels(file), await pixels(wanted[rank]!.line.file));
      }
    }
    const seeds = best.map(({ seed }) => seed);
    assert.notDeepEqual(
      seeds,
      PROMPTS.flatMap(() => [5, 6, 7]),
      'that would be the order of the seeds',
    );
  });

  test('no other image is written; files, grid and page have the scores', async () => {
    const made = readdirSync(join(root, 'best')).sort();
    assert.equal(made.length, best.length + 2);
    const other = await readPngMetadata(all[0]!.file);
    for (const { prompt, seed, file, score } of best) {
      const { clip: chooser, ...metadata } = await readPngMetadata(file);
      assert.deepEqual(metadata, { ...other, prompt, seed: String(seed), score: String(score) });
      assert.match(chooser!, /^[0-9a-f]{64}$/);
    }
    const cells = await Promise.all(
      best.map(async ({ prompt, file, score }) => ({
        pixels: await pixels(file),
        width: TINY.imageSize,
        height: TINY.imageSize,
        caption: `${score!.toFixed(3)} ${prompt}`,
      })),
    );
    assert.deepEqual(readFileSync(join(root, 'best', 'grid.png')), await imageGrid(cells, { columns: KEPT }));
    const page = readFileSync(join(root, 'best', 'index.html'), 'utf8');
    assert.equal(page.match(/<dt>score<\/dt>/g)?.length, best.length);
  });

  test('an image sampled without --best-of has no score', async () => {
    assert.ok(all.every((line) => !('score' in line)));
    const metadata = await readPngMetadata(all[0]!.file);
    assert.ok(!('score' in metadata) && !('clip' in metadata));
  });

  test('one image is kept by default; a CLIP of another image size gives the scores of mm rank', async () => {
    const [line, ...more] = await sample(
      ...(['one', '--prompt', PROMPTS[1], '--seed', '5'] as const),
      ...['--best-of', String(CANDIDATES), '--clip', larger],
    );
    assert.deepEqual(more, []);
    const files = all.filter(({ prompt }) => prompt === PROMPTS[1]).map(({ file }) => file);
    const { code, stdout, stderr } = await mmAlone([
      ...['rank', ...files, '--clip', larger, '--prompt', PROMPTS[1], '--no-cache', '--json'],
    ]);
    assert.equal(code, 0, stderr);
    const [first] = lines<{ file: string; similarity: number }>(stdout);
    assert.equal(line!.seed, all.find(({ file }) => file === first!.file)!.seed);
    assert.ok(Math.abs(line!.score! - first!.similarity) < 1e-5);
  });

  test('with --truncate, CLIP reads the beginning of a prompt that is too long for it', async () => {
    const flags = ['--prompt', PROMPTS[1], '--best-of', '2', '--keep', '2', '--truncate'];
    const found = await sample('cut', ...flags, '--clip', short);
    assert.deepEqual(found.map(({ seed }) => seed).sort(), [0, 1]);
    assert.ok(found[0]!.score! >= found[1]!.score!);
  });
});

test('prompts of files follow those of --prompt; blank lines are skipped', async () => {
  const file = join(root, 'prompts.txt');
  writeFileSync(file, `\uFEFF\r\n${PROMPTS[1]}\r\n\r\n  \t\n ${PROMPTS[0]} `);
  const found = await sample(
    'file',
    '--prompts',
    file,
    '--prompt',
    PROMPTS[0],
    '--count',
    '1',
    '--seed',
    '6',
  );
  assert.deepEqual(
    found.map(({ prompt }) => prompt),
    [PROMPTS[0], PROMPTS[1], PROMPTS[0]],
  );
  for (const line of found) {
    const same = all.find(({ prompt, seed }) => prompt === line.prompt && seed === 6);
    assert.deepEqual(await pixels(line.file), await pixels(same!.file));
  }
});

describe('mistakes', () => {
  const out = join(root, 'never');
  const [empty, latin] = [join(root, 'empty.txt'), join(root, 'latin.txt')];
  before(() => {
    writeFileSync(empty, '\n  \n');
    writeFileSync(latin, Buffer.from('une étoile', 'latin1'));
  });
  const prompt = ['--prompt', PROMPTS[0]];
  const usage = (
    code: Refusal['code'],
    at: string,
    flags: readonly string[],
    ...says: RegExp[]
  ): Refusal => ({
    flags: [...prompt, ...flags],
    exit: EXIT.usage,
    code,
    at,
    says,
  });
  const data = (code: Refusal['code'], at: RegExp | string, flags: readonly string[]): Refusal => ({
    flags,
    exit: EXIT.data,
    code,
    at,
  });
  const choice = (...flags: string[]): string[] => ['--clip', clip, '--best-of', ...flags];
  const cases: Record<string, Refusal> = {
    '--best-of without --clip': usage('E_CLIP_MISSING', '--best-of', ['--best-of', '4'], /set --clip/),
    '--keep without --best-of': usage('E_OPTION_CONFLICT', '--keep', ['--keep', '2'], /--best-of/),
    '--clip without --best-of': usage('E_OPTION_CONFLICT', '--clip', ['--clip', clip], /--best-of/),
    '--keep above --best-of': usage(
      'E_OPTION_VALUE',
      '--keep',
      choice('4', '--keep', '5'),
      /from 1 to 4, received 5/,
    ),
    '--count beside --best-of': usage('E_OPTION_CONFLICT', '--count', choice('4', '--count', '4')),
    'the best of 1': usage('E_OPTION_VALUE', '--best-of', choice('1'), /2, received 1/),
    'the best of 2.5': usage('E_OPTION_VALUE', '--best-of', choice('2.5'), /received 2\.5/),
    'the best of no number': usage('E_FLAG_VALUE_MISSING', '--best-of', choice()),
    'prompts of no file': usage('E_FLAG_VALUE_MISSING', '--prompts', ['--prompts']),
    'keeping 0': usage('E_OPTION_VALUE', '--keep', choice('4', '--keep', '0'), /received 0/),
    'a checkpoint of another kind': {
      ...data('E_CHECKPOINT_KIND', /dvae/, [...prompt, '--best-of', '4', '--clip', dvae]),
      says: [/dvae.* clip/],
    },
    'no such CLIP': data('E_CHECKPOINT_NOT_FOUND', 'missing', [
      ...[...prompt, '--best-of', '4', '--clip', join(root, 'missing')],
    ]),
    'a CLIP whose text is shorter than a prompt': {
      ...data('E_TEXT_TOO_LONG', /étoile/, [...both, '--best-of', '4', '--clip', short]),
      says: [/\d+ tokens, .* 12/, /--truncate/],
    },
    'a file of prompts that is missing': data('E_PROMPTS_FILE', 'none.txt', [
      ...['--prompts', join(root, 'none.txt')],
    ]),
    'a folder for a file of prompts': data('E_PROMPTS_FILE', root, ['--prompts', root]),
    'a file without prompts': data('E_PROMPTS_FILE', 'empty.txt', [...prompt, '--prompts', empty]),
    'a file of prompts that is not UTF-8': data('E_PROMPTS_FILE', 'latin.txt', ['--prompts', latin]),
  };
  testRefusals(
    Object.fromEntries(
      Object.entries(cases).map(([name, refusal]) => [
        name,
        { ...refusal, flags: ['sample', '--dalle', dalle, '--out', out, ...refusal.flags] },
      ]),
    ),
  );

  test('no refused command writes anything', () => {
    assert.ok(!existsSync(out));
  });
});
