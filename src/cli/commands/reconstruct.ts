// mm reconstruct: images through a dVAE and back, beside the originals; and token shards back to images.

import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { InterruptedError, UsageError } from '../../util/errors.ts';
import { type Context, defineCommand } from '../command.ts';
import { findImages } from '../find-images.ts';

export const command = defineCommand({
  flags: (yargs) =>
    yargs
      .positional('images', {
        type: 'string',
        array: true,
        demandOption: true,
        describe:
          'images, folders of images, WebDataset tars, and lists; or a folder of token shards, which is decoded',
      })
      .option('dvae', {
        type: 'string',
        requiresArg: true,
        demandOption: true,
        alias: ['vae_path', 'vae-path'],
        describe: 'checkpoint or run of the dVAE',
      })
      .option('out', {
        type: 'string',
        requiresArg: true,
        default: 'reconstructions.png',
        describe: 'image of originals and reconstructions side by side',
      })
      .option('images-out', {
        type: 'string',
        requiresArg: true,
        describe: 'of token shards: folder for a PNG of each image',
      })
      .option('show', { type: 'number', default: 16, describe: 'how many of the images are in it' })
      .example('$0 reconstruct photos --dvae runs/dvae', 'PSNR, SSIM and codebook use of a folder')
      .example('$0 reconstruct tokens --dvae runs/dvae --images-out decoded', 'token shards back to images')
      .example('$0 reconstruct a.jpg b.png --dvae runs/dvae --out both.png', 'of two images'),

  async run({ images: paths, dvae, out, show, 'images-out': folder }, context) {
    const { json, print, log, progress, signal } = context;
    if (!Number.isInteger(show) || show < 1) {
      throw new UsageError(`--show is a whole number from 1 on, and got ${show}`, {
        where: '--show',
        fix: 'leave it out to see the first 16',
      });
    }
    const tokens = paths.find(isTokenFolder);
    if (tokens !== undefined && paths.length > 1) {
      throw new UsageError('token shards are decoded by themselves', {
        where: tokens,
        fix: 'name one folder of token shards, and no images',
      });
    }
    if (tokens !== undefined) return reconstructTokens(tokens, { dvae, out, show, folder }, context);
    if (folder !== undefined) {
      throw new UsageError('--images-out is for token shards', {
        where: '--images-out',
        fix: 'name a folder that mm tokenize made, or leave --images-out out',
      });
    }
    const [
      { readCheckpoint },
      { Faults },
      { Runtime },
      { reconstructImages },
      { DvaeCodec },
      { reconstructionGrid },
      { temperatureOf },
      { writeFileAtomic },
    ] = await Promise.all([
      import('../../checkpoint/read.ts'),
      import('../../data/sources/faults.ts'),
      import('../../engine/session/runtime.ts'),
      import('../../inference/jobs/reconstruct.ts'),
      import('../../inference/dvae/codec.ts'),
      import('../../report/images/reconstructions.ts'),
      import('../../train/dvae/temperature.ts'),
      import('../../util/files.ts'),
    ]);
    const files = await findImages(paths);
    refuseOverwriting(files, out);
    const checkpoint = await readCheckpoint(dvae, { kind: 'dvae', warn: (message) => log.warn(message) });
    const faults = new Faults(log);
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
      print(`relaxed codes are ${softHardGap.toFixed(2)} dB better than hard ones`);
      print(
        `${codesUsed} of ${vocabulary} codes used, perplexity ${perplexity.toFixed(1)}, ${deadCodes} never`,
      );
      print(out);
      json({ ...totals, out });
    } catch (error) {
      if ((error as Error).name !== 'AbortError') throw error;
      throw new InterruptedError('stopped; no image was written', { where: out });
    } finally {
      faults.summarize();
      await runtime.close();
    }
  },
});

/** Whether the path is a folder that mm tokenize made, or is making. */
const isTokenFolder = (path: string): boolean =>
  ['manifest.json', 'manifest.partial.json'].some((name) => existsSync(join(path, name)));

interface TokenFlags {
  readonly dvae: string;
  readonly out: string;
  readonly show: number;
  readonly folder: string | undefined;
}

async function reconstructTokens(
  path: string,
  { dvae, out, show, folder }: TokenFlags,
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
      `${images} images: ${codesUsed} of ${codec.config.vocabulary} codes used, perplexity ${perplexity.toFixed(1)}, ${deadCodes} never`,
    );
    if (folder !== undefined) print(folder);
    print(out);
    json({ ...totals, out, ...(folder !== undefined && { folder }) });
  } catch (error) {
    if ((error as Error).name !== 'AbortError') throw error;
    throw new InterruptedError('stopped; the images so far are whole', { where: folder ?? out });
  } finally {
    await runtime.close();
  }
}

function refuseOverwriting(files: readonly { readonly path: string }[], out: string): void {
  const own = files.find(({ path }) => resolve(path) === resolve(out));
  if (own)
    throw new UsageError('--out would overwrite one of the images', {
      where: own.path,
      fix: 'give --out another name',
    });
}
