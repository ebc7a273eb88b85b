// mm reconstruct as a user calls it.

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { hashOf } from '../../src/checkpoint/checkpoint.ts';
import { readCheckpoint } from '../../src/checkpoint/read.ts';
import { decodeImage } from '../../src/data/decode.ts';
import { readTokenFolder } from '../../src/data/tokens/read.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { DvaeCodec } from '../../src/inference/dvae/codec.ts';
import { codebookUse } from '../../src/inference/measures/codebook.ts';
import { psnr, psnrOf, ssim } from '../../src/inference/measures/reconstruction.ts';
import { reconstructionGrid } from '../../src/report/images/reconstructions.ts';
import { EXIT } from '../../src/util/errors.ts';
import { mm as mmAlone } from '../support/mm.ts';
import { mmTogether } from '../support/mm-each.ts';
import { TINY, writeImage, writeImages, writeTinyDvae } from '../support/tiny-dvae.ts';

const mm = mmTogether();

/** More than a batch. */
const IMAGES = 40;

let root: string;
let dvae: string;
let out: string;
before(async () => {
  root = mkdtempSync(join(tmpdir(), 'mm-reconstruct-'));
  dvae = join(root, 'dvae');
  out = join(root, 'out.png');
  await writeTinyDvae(dvae);
  await writeImages(join(root, 'images'), IMAGES);
  await writeImage(join(root, 'single.png'), 1000);
  writeFileSync(join(root, 'broken.png'), 'not an image');
});
after(() => rmSync(root, { recursive: true }));

const reconstruct = (...flags: string[]) => mm(['reconstruct', ...flags, '--dvae', dvae]);

const lines = (stdout: string): Record<string, unknown>[] =>
  stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

describe('mm reconstruct', () => {
  test('files and folders give a line for each image, totals, and the first pairs as an image', async () => {
    const single = join(root, 'single.png');
    const folder = join(root, 'images');
    const { code, stdout, stderr } = await reconstruct(
      ...[join(root, 'broken.png'), single, folder, '--out', out, '--show', '3', '--json'],
    );
    assert.equal(code, 0, stderr);
    assert.match(stderr, /skipping .*broken\.png/);

    const names = Array.from({ length: IMAGES }, (_, i) => String(i).padStart(3, '0'));
    const files = [
      single,
      ...names.filter((_, i) => i % 2 === 0).map((name) => join(folder, 'a', `${name}.png`)),
      ...names.filter((_, i) => i % 2 === 1).map((name) => join(folder, 'b', `${name}.png`)),
    ];
    const size = TINY.imageSize;
    const originals = Buffer.concat(
      await Promise.all(files.map((file) => decodeImage(file, { size, crop: 'center' }))),
    );
    const runtime = new Runtime();
    const codec = await DvaeCodec.open(
      runtime,
      await readCheckpoint(dvae, { kind: 'dvae', warn: assert.fail }),
    );
    const codes = await codec.encode(originals);
    const made = await codec.decode(codes);
    // The image that cannot be read is one of the first batch of 32; τ at the checkpoint's step, the last, is 1/16.
    const length0 = 31 * TINY.imageSize ** 2 * 3;
    const softErrors = [
      (await codec.relaxedError(originals.subarray(0, length0), 0.0625, 0)) * 31,
      (await codec.relaxedError(originals.subarray(length0), 0.0625, 32)) * (files.length - 31),
    ];
    await runtime.close();

    const part = (pixels: Uint8Array, i: number): Uint8Array =>
      pixels.subarray(i * size ** 2 * 3, (i + 1) * size ** 2 * 3);
    const measures = files.map((file, i) => ({
      file,
      psnr: psnr(part(originals, i), part(made, i)),
      ssim: ssim(part(originals, i), part(made, i), size),
    }));
    const mean = (key: 'psnr' | 'ssim'): number =>
      measures.reduce((sum, m) => sum + m[key], 0) / files.length;
    const { used, perplexity } = codebookUse([codes], TINY.vocabulary);
    const mse = originals.reduce((sum, v, i) => sum + ((v - made[i]!) / 255) ** 2, 0) / originals.length;
    const softMse = softErrors.reduce((sum, error) => sum + error, 0) / files.length;
    const rounded = (values: Record<string, unknown>) =>
      Object.fromEntries(
        Object.entries(values).map(([k, v]) => [k, typeof v === 'number' ? Number(v.toPrecision(9)) : v]),
      );
    assert.notEqual(softMse, mse);
    assert.deepEqual(lines(stdout).map(rounded), [
      ...measures.map(rounded),
      rounded({
        images: files.length,
        skipped: 1,
        psnr: mean('psnr'),
        ssim: mean('ssim'),
        mse,
        softMse,
        softHardGap: psnrOf(softMse) - psnrOf(mse),
        codesUsed: used,
        codebookUse: used / TINY.vocabulary,
        deadCodes: TINY.vocabulary - used,
        perplexity,
        out,
      }),
    ]);
    assert.ok(used > 5);
    const length = 3 * size ** 2 * 3;
    const grid = await reconstructionGrid(originals.subarray(0, length), made.subarray(0, length), size);
    assert.deepEqual(readFileSync(out), grid);
  });

  test('people see PSNR and SSIM of each image, the means, codebook use, and the path of the image', async () => {
    const deep = join(root, 'new', 'folder', 'out.png');
    const { code, stdout, stderr } = await reconstruct(join(root, 'single.png'), '--out', deep);
    assert.equal(code, 0, stderr);
    assert.ok(existsSync(deep));
    assert.match(
      stdout,
      /^\S+single\.png {2}PSNR \d+\.\d\d dB {2}SSIM -?\d\.\d{4}\nmean of 1: .*\nrelaxed codes .* -?\d+\.\d\d dB .*\n\d+ of 24 codes used, perplexity .*, \d+ never used\n\S+out\.png\n$/,
    );
  });

  test('token shards become the images that their dVAE decodes; another dVAE is refused with both hashes', async () => {
    const tokens = join(root, 'tokens');
    const data = join(root, 'images');
    const tokenized = await mm(['tokenize', '--data', data, '--dvae', dvae, '--out', tokens, '--json']);
    assert.equal(tokenized.code, 0, tokenized.stderr);
    const folder = join(root, 'decoded');
    const { code, stdout, stderr } = await reconstruct(
      tokens,
      '--out',
      out,
      '--images-out',
      folder,
      '--json',
    );
    assert.equal(code, 0, stderr);
    const set = await readTokenFolder(tokens);
    const { used, perplexity } = codebookUse([set.codes], TINY.vocabulary);
    assert.deepEqual(lines(stdout), [
      {
        images: IMAGES,
        codesUsed: used,
        codebookUse: used / TINY.vocabulary,
        deadCodes: TINY.vocabulary - used,
        perplexity,
        out,
        folder,
      },
    ]);
    const runtime = new Runtime();
    const checkpoint = await readCheckpoint(dvae, { kind: 'dvae', warn: assert.fail });
    const codec = await DvaeCodec.open(runtime, checkpoint);
    const made = await codec.decode(Int32Array.from(set.codes));
    await runtime.close();
    const length = TINY.imageSize ** 2 * 3;
    for (const [i, key] of set.keys.entries()) {
      const png = await decodeImage(join(folder, `${key}.png`), { size: TINY.imageSize, crop: 'none' });
      assert.deepEqual(png, made.slice(i * length, (i + 1) * length), key);
    }

    const other = join(root, 'other-dvae');
    await writeTinyDvae(other, 2);
    const refused = await mmAlone(['reconstruct', tokens, '--dvae', other, '--out', join(root, 'none.png')]);
    assert.equal(refused.code, EXIT.data);
    assert.match(refused.stderr, / {2}code: E_DVAE_DIFFERS\n/);
    const hashes = [set.dvaeHash, hashOf(await readCheckpoint(other, { kind: 'dvae', warn: assert.fail }))];
    for (const hash of hashes) assert.ok(refused.stderr.includes(hash), refused.stderr);
  });

  test('mistakes are refused with their place, and no image is overwritten', async () => {
    const single = join(root, 'single.png');
    const cases: [flags: string[], exit: number, at: RegExp, code: string][] = [
      [[join(root, 'missing.png')], EXIT.data, /missing\.png$/, 'E_NOT_FOUND'],
      [[join(root, 'broken.png')], EXIT.data, /broken\.png$/, 'E_NO_USABLE_IMAGE'],
      [[single, '--show', '0'], EXIT.usage, /^--show$/, 'E_OPTION_VALUE'],
      [[single, '--images-out', join(root, 'p')], EXIT.usage, /^--images-out$/, 'E_OPTION_CONFLICT'],
      [[root, '--out', single], EXIT.usage, /single\.png$/, 'E_OUT_IS_INPUT'],
    ];
    const before = readFileSync(single);
    await Promise.all(
      cases.map(async ([flags, exit, at, expected]) => {
        const output = flags.includes('--out') ? [] : ['--out', join(root, 'none.png')];
        const { code, stdout, stderr } = await reconstruct(...flags, ...output);
        assert.equal(code, exit, stderr);
        assert.equal(stdout, '');
        assert.match(/^ {2}at: {2}(.*)$/m.exec(stderr)?.[1] ?? '', at);
        assert.match(stderr, new RegExp(`\\n {2}fix: .*\\n {2}code: ${expected}\\n$`));
      }),
    );
    assert.ok(!existsSync(join(root, 'none.png')));
    assert.deepEqual(readFileSync(single), before);
  });
});
