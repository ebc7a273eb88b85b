// mm convert: weights of other programs into a checkpoint.

import { readdir } from 'node:fs/promises';
import { UsageError } from '../../util/errors.ts';
import { defineCommand } from '../command.ts';
import { TEXT, withExamples } from '../help.ts';
import { wholeNumber } from '../whole-number.ts';

export const command = defineCommand({
  flags: (yargs) =>
    withExamples(
      yargs
        .positional('from', {
          type: 'string',
          array: true,
          demandOption: true,
          describe: 'the files of a model, or their folder',
        })
        .option('to', { ...TEXT, demandOption: true, describe: 'new folder for the checkpoint' })
        .option('image-size', {
          ...wholeNumber('image-size', { fix: 'leave it out for the size the weights were published for' }),
          defaultDescription: "the model's",
          describe: 'pixels on a side of the images, for models whose weights do not fix it',
        })
        .option('tokenizer', {
          ...TEXT,
          describe: "tokenizer.json, or CLIP's merges file, for models whose files do not include one",
        })
        .option('activation', {
          choices: ['quick-gelu', 'gelu'] as const,
          defaultDescription: "the files', or quick-gelu",
          describe: "activation of a CLIP's resblocks; most open_clip models have gelu",
        }),
      [
        ["OpenAI's dVAE", 'convert encoder.pkl decoder.pkl --to dvae'],
        ["DALLE-pytorch's DiscreteVAE", 'convert vae.pt --to dvae'],
        ["DALLE-pytorch's DALLE", 'convert dalle.pt --tokenizer tokenizer.json --to dalle'],
        ["a folder of Hugging Face's CLIP", 'convert clip-vit-base-patch32 --to clip'],
        ["OpenAI's CLIP", 'convert ViT-B-32.pt --tokenizer bpe_simple_vocab_16e6.txt.gz --to clip'],
        ['uses the result', 'reconstruct photos --dvae dvae'],
      ],
    ),

  async run({ from, to, 'image-size': imageSize, tokenizer, activation }, { json, print, signal }) {
    await assertEmptyFolder(to);
    const { convertWeights } = await import('../../convert/convert.ts');
    const options = { imageSize, tokenizer, activation };
    const { what, contents } = await convertWeights(from, to, options, signal);
    print(`${to}: ${what}`);
    json({ to, kind: contents.kind, what, config: contents.config });
  },
});

/** @throws UsageError unless the folder is empty or missing */
async function assertEmptyFolder(to: string): Promise<void> {
  const names = await readdir(to).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw new UsageError(error.code === 'ENOTDIR' ? 'there is a file of this name' : error.message, {
      code: 'E_FILE_IN_THE_WAY',
      option: 'to',
      where: to,
      fix: 'give --to another name',
      cause: error,
    });
  });
  if (names.length > 0) {
    throw new UsageError('the folder is not empty', {
      code: 'E_FOLDER_NOT_EMPTY',
      option: 'to',
      where: to,
      fix: 'give --to a new name, or empty the folder',
    });
  }
}
