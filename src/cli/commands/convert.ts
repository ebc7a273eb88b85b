// mm convert: other people's weights into checkpoints.

import { readdir } from 'node:fs/promises';
import { UsageError } from '../../util/errors.ts';
import { defineCommand } from '../command.ts';

export const command = defineCommand({
  flags: (yargs) =>
    yargs
      .positional('from', {
        type: 'string',
        array: true,
        demandOption: true,
        describe: 'the files of a model, or the folder they are in',
      })
      .option('to', {
        type: 'string',
        requiresArg: true,
        demandOption: true,
        describe: 'folder for the checkpoint',
      })
      .option('image-size', {
        type: 'number',
        requiresArg: true,
        describe: 'pixels on a side of the images, for models whose weights do not say',
      })
      .option('tokenizer', {
        type: 'string',
        requiresArg: true,
        describe: 'tokenizer.json, or the merges file of a CLIP, for models whose files do not hold one',
      })
      .option('activation', {
        choices: ['quick-gelu', 'gelu'] as const,
        describe:
          "of a CLIP's resblocks: quick-gelu, unless the files say otherwise; open_clip trained most with gelu",
      })
      .example('$0 convert encoder.pkl decoder.pkl --to dvae', "OpenAI's dVAE")
      .example('$0 convert vae.pt --to dvae', "DALLE-pytorch's DiscreteVAE")
      .example('$0 convert dalle.pt --tokenizer tokenizer.json --to dalle', "DALLE-pytorch's DALLE")
      .example('$0 convert clip-vit-base-patch32 --to clip', 'a CLIP of Hugging Face: its folder')
      .example('$0 convert ViT-B-32.pt --tokenizer bpe_simple_vocab_16e6.txt.gz --to clip', "OpenAI's CLIP")
      .example('$0 reconstruct photos --dvae dvae', 'what it gives'),

  async run({ from, to, 'image-size': imageSize, tokenizer, activation }, { json, print, signal }) {
    if (imageSize !== undefined && !(Number.isInteger(imageSize) && imageSize > 0)) {
      throw new UsageError(`--image-size is a whole number of pixels, and got ${imageSize}`, {
        where: '--image-size',
        fix: 'leave it out for the size the weights were published for',
      });
    }
    await assertEmptyFolder(to);
    const { convertWeights } = await import('../../convert/convert.ts');
    const options = { imageSize, tokenizer, activation };
    const { what, contents } = await convertWeights(from, to, options, signal);
    print(`${to}: ${what}`);
    json({ to, kind: contents.kind, what, config: contents.config });
  },
});

/** A folder with something in it is somebody's. */
async function assertEmptyFolder(to: string): Promise<void> {
  const names = await readdir(to).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw new UsageError(error.code === 'ENOTDIR' ? 'there is a file of this name' : error.message, {
      where: to,
      fix: 'give --to another name',
      cause: error,
    });
  });
  if (names.length > 0) {
    throw new UsageError('the folder is not empty', { where: to, fix: 'give --to a new name, or empty it' });
  }
}
