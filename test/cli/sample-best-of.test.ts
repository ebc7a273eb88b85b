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
import { mm } from '../support/mm.ts';
import { type Refusal, testRefusals } from '../support/refusal.ts';
import { writeTinyClip } from '../support/tiny-clip.ts';
import { TINY, writeImages, writeTinyDvae } from '../support/tiny-dvae.ts';
import { dalleConfig, dalleSession, writeTokenizer } from '../support/tiny-runs.ts';

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

/** All candidates, as they are without --best-of. */
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

/** The candidates of a prompt with cosines worked out here, the best first. */
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

describe('the best of many', () => {
  const KEPT = 3;
  let best: Line[];
  before(async () => {
    const choice = ['--best-of', String(CANDIDATES), '--keep', String(KEPT), '--clip', clip];
    // Batches end in the midst of a prompt, and hold two.
    best = await sample('best', ...both, ...choice, '--seed', '5', '--batch-size', '3');
  });

  test('are those of the highest scores, in order, the images of their seeds', async () => {
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
      'it would be the order they are drawn in',
    );
  });

  test('no others are written; the files, the grid and the page say the score', async () => {
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

  test('without --best-of there is no score', async () => {
    assert.ok(all.every((line) => !('score' in line)));
    const metadata = await readPngMetadata(all[0]!.file);
    assert.ok(!('score' in metadata) && !('clip' in metadata));
  });

  test('one is kept unless told; a CLIP of another image size scores as mm rank does', async () => {
    const [line, ...more] = await sample(
      ...(['one', '--prompt', PROMPTS[1], '--seed', '5'] as const),
      ...['--best-of', String(CANDIDATES), '--clip', larger],
    );
    assert.deepEqual(more, []);
    const files = all.filter(({ prompt }) => prompt === PROMPTS[1]).map(({ file }) => file);
    const { code, stdout, stderr } = await mm([
      ...['rank', ...files, '--clip', larger, '--prompt', PROMPTS[1], '--no-cache', '--json'],
    ]);
    assert.equal(code, 0, stderr);
    const [first] = lines<{ file: string; similarity: number }>(stdout);
    assert.equal(line!.seed, all.find(({ file }) => file === first!.file)!.seed);
    assert.ok(Math.abs(line!.score! - first!.similarity) < 1e-5);
  });

  test('CLIP reads the beginning of a prompt that is too long for it when --truncate says so', async () => {
    const flags = ['--prompt', PROMPTS[1], '--best-of', '2', '--keep', '2', '--truncate'];
    const found = await sample('cut', ...flags, '--clip', short);
    assert.deepEqual(found.map(({ seed }) => seed).sort(), [0, 1]);
    assert.ok(found[0]!.score! >= found[1]!.score!);
  });
});

test('prompts of files come after those of --prompt; blank lines do not count', async () => {
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

describe('what cannot be done is one error that says what, where and the fix', () => {
  const out = join(root, 'never');
  const [empty, latin] = [join(root, 'empty.txt'), join(root, 'latin.txt')];
  before(() => {
    writeFileSync(empty, '\n  \n');
    writeFileSync(latin, Buffer.from('une étoile', 'latin1'));
  });
  const prompt = ['--prompt', PROMPTS[0]];
  const usage = (flags: readonly string[], ...says: RegExp[]): Refusal => ({
    flags: [...prompt, ...flags],
    code: EXIT.usage,
    says,
  });
  const data = (flags: readonly string[], ...says: RegExp[]): Refusal => ({ flags, code: EXIT.data, says });
  const cases: Record<string, Refusal> = {
    '--best-of without --clip': usage(['--best-of', '4'], /--best-of needs a CLIP/, /--clip CHECKPOINT/),
    '--keep without --best-of': usage(['--keep', '2'], /--keep says .* without --best-of there are none/),
    '--clip without --best-of': usage(['--clip', clip], /--clip scores .* without --best-of there are none/),
    '--keep above --best-of': usage(
      ['--best-of', '4', '--keep', '5', '--clip', clip],
      /--keep 5 is more than the 4 candidates of --best-of/,
    ),
    '--count beside --best-of': usage(
      ['--best-of', '4', '--count', '4', '--clip', clip],
      /--count and --best-of both/,
    ),
    'the best of 1': usage(['--best-of', '1', '--clip', clip], /--best-of is a .* from 2 on, and got 1/),
    'the best of 2.5': usage(['--best-of', '2.5', '--clip', clip], /--best-of is a whole number/),
    'the best of none': usage(['--clip', clip, '--best-of'], /Not enough arguments following: best-of/),
    'prompts of no file': usage(['--prompts'], /Not enough arguments following: prompts/),
    'keeping 0': usage(['--best-of', '4', '--keep', '0', '--clip', clip], /--keep is a .* from 1 on/),
    'a checkpoint of another kind': data(
      [...prompt, '--best-of', '4', '--clip', dvae],
      /a dvae checkpoint, where one of a clip is needed/,
    ),
    'no such CLIP': data(
      [...prompt, '--best-of', '4', '--clip', join(root, 'missing')],
      /there is no such checkpoint/,
    ),
    'a CLIP whose text is shorter than a prompt': data(
      [...both, '--best-of', '4', '--clip', short],
      /CLIP cannot score the prompt: the text has \d+ tokens, the model reads 12/,
      /étoile/,
      /--truncate/,
    ),
    'a file of prompts that is missing': data(
      ['--prompts', join(root, 'none.txt')],
      /there is no such file of prompts/,
      /none\.txt/,
    ),
    'a folder for a file of prompts': data(['--prompts', root], /the file of prompts cannot be read/),
    'a file without prompts': data([...prompt, '--prompts', empty], /the file has no prompts/, /empty\.txt/),
    'a file of prompts that is not UTF-8': data(['--prompts', latin], /is not UTF-8 text/, /latin\.txt/),
  };
  testRefusals(
    Object.fromEntries(
      Object.entries(cases).map(([name, refusal]) => [
        name,
        { ...refusal, flags: ['sample', '--dalle', dalle, '--out', out, ...refusal.flags] },
      ]),
    ),
  );

  test('and nothing was written', () => {
    assert.ok(!existsSync(out));
  });
});
