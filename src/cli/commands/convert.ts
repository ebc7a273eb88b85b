// mm convert: weights of other programs into a checkpoint.

import { readdir } from 'node:fs/promises';
import { UsageError } from '../../util/errors.ts';
import { defineCommand } from '../command.ts';
import { TEXT, withExamples } from '../help.ts';
import { wholeNumber } from '../whole-number.ts';

const ACTIVATIONS = ['quick-gelu', 'gelu', 'gelu-tanh'] as const;
/** The keys of PREPROCESSINGS in convert/clip/preprocessing.ts, which help does not load. */
const PREPROCESSINGS = ['openai', 'inception', 'siglip', 'dfn', 'clipa'] as const;

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
          describe: "pixels on a side of the images; another size interpolates a CLIP's positions",
        })
        .option('text-length', {
          ...wholeNumber('text-length', { fix: "leave it out for the weights' own" }),
          defaultDescription: "the model's",
          describe: 'text positions of a CLIP; another number interpolates them',
        })
        .option('tokenizer', {
          ...TEXT,
          describe: 'tokenizer, of any kind: see docs/FORMATS.md; for models whose files do not include one',
        })
        .option('dvae', {
          ...TEXT,
          defaultDescription: 'the one in the file',
          describe: "checkpoint of a DALL·E's image tokenizer: a dVAE or VQGAN converted before",
        })
        .option('null-captions', {
          type: 'number',
          default: undefined,
          defaultDescription: '0',
          describe:
            'share of captions that a DALL·E was trained without (null_cond_prob); above 0, it samples with guidance',
        })
        .option('part', {
          ...TEXT,
          describe:
            "which of several models in a file: a key such as model_ema, or the beginning of the tensors' names",
        })
        .option('config', {
          ...TEXT,
          alias: 'vqgan_config_path',
          defaultDescription: 'the one among the files',
          describe:
            "a VQGAN's model.yaml, of taming-transformers or latent-diffusion, or config.json of diffusers; read as data",
        })
        .option('activation', {
          choices: ACTIVATIONS,
          defaultDescription: "the files'",
          describe:
            "activation of a CLIP's resblocks: quick-gelu as OpenAI's, gelu as most of open_clip's, or gelu-tanh as SigLIP 2's",
        })
        .option('heads', {
          ...wholeNumber('heads', { fix: "leave it out for the files' own" }),
          defaultDescription: "the files'",
          describe: "attention heads of a CLIP's image tower",
        })
        .option('text-heads', {
          ...wholeNumber('text-heads', { fix: "leave it out for the files' own" }),
          defaultDescription: "the files'",
          describe: "attention heads of a CLIP's text tower",
        })
        .option('preprocessing', {
          choices: PREPROCESSINGS,
          defaultDescription: "the files'",
          describe:
            "preprocessing of a CLIP's images: openai; inception (mean and deviation 0.5); siglip (the same, squashed); dfn (openai, squashed); clipa (ImageNet's mean, bilinear, squashed)",
        })
        .option('mean', {
          type: 'number',
          array: true,
          defaultDescription: "the preprocessing's",
          describe: "mean of red, green and blue of a CLIP's images, in [0, 1]",
        })
        .option('std', {
          type: 'number',
          array: true,
          defaultDescription: "the preprocessing's",
          describe: "standard deviation of red, green and blue of a CLIP's images",
        }),
      [
        ["OpenAI's dVAE", 'convert encoder.pkl decoder.pkl --to dvae'],
        ["DALLE-pytorch's DiscreteVAE", 'convert vae.pt --to dvae'],
        ['a VQGAN of taming-transformers', 'convert last.ckpt --config model.yaml --to dvae'],
        ['a folder of a VQModel of diffusers', 'convert vqvae --image-size 256 --to dvae'],
        ["DALLE-pytorch's DALLE", 'convert dalle.pt --tokenizer bpe_simple_vocab_16e6.txt --to dalle'],
        ["a folder of Hugging Face's CLIP", 'convert clip-vit-base-patch32 --to clip'],
        ["a folder of open_clip's CLIP, with open_clip_config.json", 'convert CLIP-ViT-H-14 --to clip'],
        [
          "a training checkpoint of open_clip's",
          'convert epoch_32.pt --tokenizer bpe_simple_vocab_16e6.txt.gz --activation gelu --preprocessing openai --to clip',
        ],
        ["OpenAI's CLIP", 'convert ViT-B-32.pt --tokenizer bpe_simple_vocab_16e6.txt.gz --to clip'],
        ['uses the result', 'reconstruct photos --dvae dvae'],
      ],
    ),

  async run({ from, to, ...flags }, { json, print, log, signal }) {
    for (const flag of ['mean', 'std'] as const) {
      const values = flags[flag];
      const isUsable =
        values?.length === 3 && values.every((x) => Number.isFinite(x) && (flag === 'mean' || x > 0));
      if (values !== undefined && !isUsable) {
        throw new UsageError(
          `\`${flag}\` is three numbers, of red, green and blue; received ${values.join(' ')}`,
          {
            code: 'E_NOT_RGB',
            option: flag,
            fix: 'for example 0.5 0.5 0.5',
          },
        );
      }
    }
    await assertEmptyFolder(to);
    const { assertWritable } = await import('../../util/files.ts');
    await assertWritable(to);
    const { convertWeights } = await import('../../convert/convert.ts');
    const { 'image-size': imageSize, 'text-length': textLength, 'text-heads': textHeads } = flags;
    const { dvae, 'null-captions': nullCaptions } = flags;
    if (nullCaptions !== undefined && !(nullCaptions >= 0 && nullCaptions < 1))
      throw new UsageError(`\`nullCaptions\` is a share below 1; received ${nullCaptions}`, {
        code: 'E_NOT_A_SHARE',
        option: 'nullCaptions',
        fix: 'for example 0.1',
      });
    const { tokenizer, config, part, activation, heads, preprocessing, mean, std } = flags;
    const options = {
      ...{ imageSize, textLength, tokenizer, config, part, activation, dvae, nullCaptions },
      ...{ heads, textHeads, preprocessing, mean, std },
    };
    const { what, contents, notes } = await convertWeights(from, to, options, signal);
    for (const note of notes)
      log.warn(note.replaceAll('`part`', '--part').replaceAll('`nullCaptions`', '--null-captions'));
    print(`${to}: ${what}`);
    json({ to, kind: contents.kind, what, notes, config: contents.config });
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
