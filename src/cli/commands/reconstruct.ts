// mm reconstruct: images through a dVAE and back, beside the originals; and token shards back to images.

import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { counted } from '../../util/counted.ts';
import { InterruptedError, UsageError } from '../../util/errors.ts';
import { type Context, defineCommand } from '../command.ts';
import { findImages } from '../find-images.ts';
import { dvaeFlag, TEXT, withExamples } from '../help.ts';
import { openFaults, type SourceFlags, sourceFlags, tableOptions } from '../source-flags.ts';
import { wholeNumber } from '../whole-number.ts';

interface ReconstructFlags {
  readonly dvae: string;
  readonly out: string;
  readonly show: number;
}

export const command = defineCommand({
  flags: (yargs) =>
    withExamples(
      sourceFlags(yargs)
        .positional('images', {
          type: 'string',
          array: true,
          demandOption: true,
          describe:
            'image files, folders of images, WebDataset tars, lists; or a folder of token shards to decode',
        })
        .option('dvae', { ...dvaeFlag, demandOption: true })
        .option('out', {
          ...TEXT,
          default: 'reconstructions.png',
          describe: 'image file of originals and reconstructions side by side',
        })
        .option('show', {
          ...wholeNumber('show'),
          default: 16,
          describe: 'images in the file of --out',
        })
        .option('images-out', { ...TEXT, describe: 'token shards: folder for a PNG of each image' }),
      [
        ['PSNR, SSIM and codebook use on a folder', 'reconstruct photos --dvae runs/dvae'],
        ['token shards back to images', 'reconstruct tokens --dvae runs/dvae --images-out decoded'],
        ['two images', 'reconstruct a.jpg b.png --dvae runs/dvae --out both.png'],
      ],
    ),

  async run({ images: paths, dvae, out, show, 'images-out': folder, ...source }, context) {
    const tokens = paths.find(isTokenFolder);
    if (tokens === undefined) {
      if (folder !== undefined) {
        throw new UsageError('--images-out is for token shards', {
          code: 'E_OPTION_CONFLICT',
          option: 'imagesOut',
          fix: 'name a folder that mm tokenize wrote, or leave --images-out out',
        });
      }
      return reconstruct(paths, { dvae, out, show, source }, context);
    }
    if (paths.length > 1) {
      throw new UsageError('token shards cannot be decoded together with other paths', {
        code: 'E_TOKENS_WITH_IMAGES',
        where: tokens,
        fix: 'name one folder of token shards, and no images',
      });
    }
    return reconstructTokens(tokens, { dvae, out, show, folder }, context);
  },
});

/** Whether mm tokenize wrote the folder, or is writing it. */
const isTokenFolder = (path: string): boolean =>
  ['manifest.json', 'manifest.partial.json'].some((name) => existsSync(join(path, name)));

async function reconstruct(
  paths: readonly string[],
  { dvae, out, show, source }: ReconstructFlags & { readonly source: SourceFlags },
  { json, print, log, progress, signal }: Context,
): Promise<void> {
  const [
    { readCheckpoint },
    { Runtime },
    { reconstructImages },
    { DvaeCodec },
    { reconstructionGrid },
    { temperatureOf },
    { writeFileAtomic },
  ] = await Promise.all([
    import('../../checkpoint/read.ts'),
    import('../../engine/session/runtime.ts'),
    import('../../inference/jobs/reconstruct.ts'),
    import('../../inference/dvae/codec.ts'),
    import('../../report/images/reconstructions.ts'),
    import('../../train/dvae/temperature.ts'),
    import('../../util/files.ts'),
  ]);
  const faults = await openFaults(source, { log });
  const files = await findImages(paths, faults, { table: tableOptions(source), signal });
  assertKeepsImages(files, out);
  const checkpoint = await readCheckpoint(dvae, { kind: 'dvae', warn: (message) => log.warn(message) });
  const runtime = new Runtime();
  try {
    const codec = await DvaeCodec.open(runtime, checkpoint);
    progress.start('reconstructing', files.length);
    const { measures, totals, originals, reconstructions } = await reconstructImages(codec, files, {
      show,
      temperature: temperatureOf(checkpoint),
      faults,
      signal,
      onProgress: (done) => progress.update(done),
    });
    progress.stop();
    const { imageSize, vocabulary } = codec.config;
    await writeFileAtomic(out, await reconstructionGrid(originals, reconstructions, imageSize, show));
    for (const image of measures) {
      print(`${image.file}  PSNR ${image.psnr.toFixed(2)} dB  SSIM ${image.ssim.toFixed(4)}`);
      json(image);
    }
    const { images, psnr, ssim, softHardGap, codesUsed, deadCodes, perplexity } = totals;
    print(`mean of ${images}: PSNR ${psnr.toFixed(2)} dB  SSIM ${ssim.toFixed(4)}`);
    if (softHardGap !== undefined)
      print(`relaxed codes reconstruct ${softHardGap.toFixed(2)} dB better than hard ones`);
    print(
      `${codesUsed} of ${vocabulary} codes used, perplexity ${perplexity.toFixed(1)}, ${deadCodes} never used`,
    );
    print(out);
    json({ ...totals, out });
  } catch (error) {
    if ((error as Error).name !== 'AbortError') throw error;
    throw new InterruptedError('stopped; no image was written', { code: 'E_INTERRUPTED', where: out });
  } finally {
    faults.summarize();
    await runtime.close();
  }
}

async function reconstructTokens(
  path: string,
  { dvae, out, show, folder }: ReconstructFlags & { readonly folder: string | undefined },
  { json, print, log, progress, signal }: Context,
): Promise<void> {
  const [{ readCheckpoint }, { Runtime }, { decodeTokens }, { DvaeCodec }, { writeFileAtomic }] =
    await Promise.all([
      import('../../checkpoint/read.ts'),
      import('../../engine/session/runtime.ts'),
      import('../../inference/jobs/decode-tokens.ts'),
      import('../../inference/dvae/codec.ts'),
      import('../../util/files.ts'),
    ]);
  const checkpoint = await readCheckpoint(dvae, { kind: 'dvae', warn: (message) => log.warn(message) });
  const runtime = new Runtime();
  try {
    const codec = await DvaeCodec.open(runtime, checkpoint);
    const { grid, totals } = await decodeTokens(path, codec, {
      show,
      images: folder,
      dvae: checkpoint.path,
      onStart: (total) => progress.start('decoding', total),
      onProgress: (done) => progress.update(done),
      signal,
    });
    progress.stop();
    await writeFileAtomic(out, grid);
    const { images, codesUsed, deadCodes, perplexity } = totals;
    print(
      `${counted(images, 'image')}: ${codesUsed} of ${codec.config.vocabulary} codes used, perplexity ${perplexity.toFixed(1)}, ${deadCodes} never used`,
    );
    if (folder !== undefined) print(folder);
    print(out);
    json({ ...totals, out, ...(folder !== undefined && { folder }) });
  } catch (error) {
    if ((error as Error).name !== 'AbortError') throw error;
    throw new InterruptedError('stopped; the images decoded so far are kept', {
      code: 'E_INTERRUPTED',
      where: folder ?? out,
    });
  } finally {
    await runtime.close();
  }
}

/** @throws UsageError when `--out` is one of the images */
function assertKeepsImages(files: readonly { readonly path: string }[], out: string): void {
  const own = files.find(({ path }) => resolve(path) === resolve(out));
  if (own)
    throw new UsageError('--out would overwrite one of the images', {
      code: 'E_OUT_IS_INPUT',
      option: 'out',
      where: own.path,
      fix: 'give --out another name',
    });
}
