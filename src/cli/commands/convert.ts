// mm convert: other people's weights into checkpoints.

import { readdir } from 'node:fs/promises';
import { UsageError } from '../../util/errors.ts';
import { defineCommand } from '../command.ts';

const ACTIVATIONS = ['quick-gelu', 'gelu'] as const;
/** As in convert/clip/preprocessing.ts, which help does not load. */
const PREPROCESSINGS = ['openai', 'inception', 'dfn', 'clipa'] as const;

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
        describe:
          'pixels on a side of the images: where the weights do not say, or another size of a CLIP, whose positions are interpolated',
      })
      .option('text-length', {
        type: 'number',
        requiresArg: true,
        describe: "another length of a CLIP's texts, whose positions are interpolated",
      })
      .option('tokenizer', {
        type: 'string',
        requiresArg: true,
        describe: 'tokenizer.json, or the merges file of a CLIP, for models whose files do not hold one',
      })
      .option('activation', {
        choices: ACTIVATIONS,
        describe:
          "of a CLIP's resblocks, where its files do not say: OpenAI's quick-gelu, or gelu as in most of open_clip",
      })
      .option('heads', {
        type: 'number',
        requiresArg: true,
        describe: "attention heads of a CLIP's image tower, where its files do not say",
      })
      .option('text-heads', {
        type: 'number',
        requiresArg: true,
        describe: "attention heads of a CLIP's text tower, where its files do not say",
      })
      .option('preprocessing', {
        choices: PREPROCESSINGS,
        describe:
          "of a CLIP's images, where its files do not say: openai; inception (mean and deviation 0.5); dfn (OpenAI's, squashed); clipa (ImageNet's, bilinear, squashed)",
      })
      .option('mean', {
        type: 'number',
        array: true,
        describe: "red, green and blue that are subtracted from a CLIP's images, in [0, 1]",
      })
      .option('std', {
        type: 'number',
        array: true,
        describe: "red, green and blue that a CLIP's images are divided by",
      })
      .example('$0 convert encoder.pkl decoder.pkl --to dvae', "OpenAI's dVAE")
      .example('$0 convert vae.pt --to dvae', "DALLE-pytorch's DiscreteVAE")
      .example('$0 convert dalle.pt --tokenizer tokenizer.json --to dalle', "DALLE-pytorch's DALLE")
      .example('$0 convert clip-vit-base-patch32 --to clip', 'a CLIP of Hugging Face: its folder')
      .example('$0 convert ViT-B-32.pt --tokenizer bpe_simple_vocab_16e6.txt.gz --to clip', "OpenAI's CLIP")
      .example(
        '$0 convert ViT-H-14-folder --to clip',
        'a CLIP of open_clip: its folder with open_clip_config.json',
      )
      .example('$0 reconstruct photos --dvae dvae', 'what it gives'),

  async run({ from, to, ...flags }, { json, print, signal }) {
    for (const flag of ['image-size', 'text-length', 'heads', 'text-heads'] as const) {
      const value = flags[flag];
      if (value !== undefined && !(Number.isInteger(value) && value > 0)) {
        throw new UsageError(`--${flag} is a whole number above 0, and got ${value}`, {
          code: 'E_NOT_WHOLE',
          where: `--${flag}`,
          fix: "leave it out for the weights' own",
        });
      }
    }
    for (const flag of ['mean', 'std'] as const) {
      const values = flags[flag];
      const isUsable =
        values?.length === 3 && values.every((x) => Number.isFinite(x) && (flag === 'mean' || x > 0));
      if (values !== undefined && !isUsable) {
        throw new UsageError(
          `--${flag} is three numbers, of red, green and blue, and got ${values.join(' ')}`,
          {
            code: 'E_NOT_RGB',
            where: `--${flag}`,
            fix: `for example --${flag} 0.5 0.5 0.5`,
          },
        );
      }
    }
    await assertEmptyFolder(to);
    const { convertWeights } = await import('../../convert/convert.ts');
    const { 'image-size': imageSize, 'text-length': textLength, 'text-heads': textHeads } = flags;
    const { tokenizer, activation, heads, preprocessing, mean, std } = flags;
    const options = {
      imageSize,
      textLength,
      tokenizer,
      activation,
      heads,
      textHeads,
      preprocessing,
      mean,
      std,
    };
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
