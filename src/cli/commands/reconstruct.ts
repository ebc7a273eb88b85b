// mm reconstruct: pictures through a dVAE and back, beside the originals.

import { resolve } from 'node:path';
import { InterruptedError, UsageError } from '../../util/errors.ts';
import { defineCommand } from '../command.ts';
import { findPictures } from '../find-pictures.ts';

export const command = defineCommand({
  flags: (yargs) =>
    yargs
      .positional('images', {
        type: 'string',
        array: true,
        demandOption: true,
        describe: 'pictures, folders of pictures, WebDataset tars, and lists',
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
        describe: 'picture of originals and reconstructions side by side',
      })
      .option('show', { type: 'number', default: 16, describe: 'how many of the pictures are in it' })
      .example('$0 reconstruct photos --dvae runs/dvae', 'PSNR, SSIM and codebook use of a folder')
      .example('$0 reconstruct a.jpg b.png --dvae runs/dvae --out both.png', 'of two pictures'),

  async run({ images, dvae, out, show }, { json, print, log, progress, signal }) {
    if (!Number.isInteger(show) || show < 1) {
      throw new UsageError(`--show is a whole number from 1 on, and got ${show}`, {
        where: '--show',
        fix: 'leave it out to see the first 16',
      });
    }
    const [
      { readCheckpoint },
      { Faults },
      { Runtime },
      { reconstructPictures },
      { DvaeCodec },
      { reconstructionGrid },
      { temperatureOf },
      { writeFileAtomic },
    ] = await Promise.all([
      import('../../checkpoint/read.ts'),
      import('../../data/faults.ts'),
      import('../../engine/runtime.ts'),
      import('../../eval/reconstruct-pictures.ts'),
      import('../../models/dvae/codec.ts'),
      import('../../report/reconstructions.ts'),
      import('../../train/temperature.ts'),
      import('../../util/files.ts'),
    ]);
    const files = await findPictures(images);
    refuseOverwriting(files, out);
    const checkpoint = await readCheckpoint(dvae, { kind: 'dvae', warn: (message) => log.warn(message) });
    const faults = new Faults(log);
    const runtime = new Runtime();
    try {
      const codec = await DvaeCodec.open(runtime, checkpoint);
      progress.start('reconstructing', files.length);
      const { measures, totals, originals, reconstructions } = await reconstructPictures(codec, files, {
        show,
        temperature: temperatureOf(checkpoint),
        faults,
        signal,
        onProgress: (done) => progress.update(done),
      });
      progress.stop();
      const { imageSize, vocabulary } = codec.config;
      await writeFileAtomic(out, await reconstructionGrid(originals, reconstructions, imageSize, show));
      for (const picture of measures) {
        print(`${picture.file}  PSNR ${picture.psnr.toFixed(2)} dB  SSIM ${picture.ssim.toFixed(4)}`);
        json(picture);
      }
      const { pictures, psnr, ssim, softHardGap, codesUsed, deadCodes, perplexity } = totals;
      print(`mean of ${pictures}: PSNR ${psnr.toFixed(2)} dB  SSIM ${ssim.toFixed(4)}`);
      print(`relaxed codes are ${softHardGap.toFixed(2)} dB better than hard ones`);
      print(
        `${codesUsed} of ${vocabulary} codes used, perplexity ${perplexity.toFixed(1)}, ${deadCodes} never`,
      );
      print(out);
      json({ ...totals, out });
    } catch (error) {
      if ((error as Error).name !== 'AbortError') throw error;
      throw new InterruptedError('stopped; no picture was written', { where: out });
    } finally {
      faults.summarize();
      await runtime.close();
    }
  },
});

function refuseOverwriting(files: readonly { readonly path: string }[], out: string): void {
  const own = files.find(({ path }) => resolve(path) === resolve(out));
  if (own)
    throw new UsageError('--out would overwrite one of the pictures', {
      where: own.path,
      fix: 'give --out another name',
    });
}
