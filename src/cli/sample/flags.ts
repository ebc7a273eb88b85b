// The flags of mm sample, and what they mean for `sample`.

import type { Argv } from 'yargs';
import { checkOptions, DEFAULTS, type Named, type SampleOptions } from '../../api/options.ts';
import { UsageError } from '../../util/errors.ts';

export function sampleFlags(yargs: Argv) {
  return yargs
    .option('dalle', {
      type: 'string',
      requiresArg: true,
      alias: ['dalle_path', 'dalle-path'],
      describe: 'checkpoint or run of mm train-dalle; with --like, by default where the image was drawn',
    })
    .option('prompt', {
      type: 'string',
      array: true,
      nargs: 1,
      alias: 'text',
      describe: 'what the image shows; repeatable',
    })
    .option('prompts', {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'file of prompts, a line each; they come after those of --prompt',
    })
    .option('complete', {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'beginning of a caption, which the model goes on with before it draws; repeatable',
    })
    .option('negative', {
      type: 'string',
      requiresArg: true,
      describe: 'what --guidance steers away from, in place of the empty caption',
    })
    .option('count', {
      type: 'number',
      defaultDescription: String(DEFAULTS.count),
      alias: ['num_images', 'num-images'],
      describe: 'images for each prompt',
    })
    .option('best-of', {
      type: 'number',
      requiresArg: true,
      describe: 'in place of --count: candidates drawn for each prompt, of which --clip chooses',
    })
    .option('keep', {
      type: 'number',
      requiresArg: true,
      defaultDescription: String(DEFAULTS.keep),
      describe: 'candidates of --best-of that are written, the best first',
    })
    .option('clip', {
      type: 'string',
      requiresArg: true,
      alias: ['clip_path', 'clip-path'],
      describe: 'what scores the candidates: checkpoint or run of mm train-clip, or what mm convert made',
    })
    .option('prime', {
      type: 'string',
      requiresArg: true,
      describe: 'image whose upper part is kept; the rest is drawn',
    })
    .option('keep-rows', {
      type: 'number',
      requiresArg: true,
      describe: 'rows of codes that are kept of the image of --prime',
    })
    .option('like', {
      type: 'string',
      requiresArg: true,
      describe: 'PNG that mm sample wrote: repeats it; flags beside it change what they say',
    })
    .option('out', {
      type: 'string',
      default: 'samples',
      alias: ['outputs_dir', 'outputs-dir'],
      describe: 'folder for the images; those in it stay',
    })
    .option('grid', {
      type: 'number',
      requiresArg: true,
      describe: 'columns of grid.png; --no-grid for none',
    })
    .option('preview', {
      type: 'boolean',
      default: false,
      describe: 'write grid.png anew while the images are drawn, and show it in terminals that can',
    })
    .option('seed', {
      type: 'number',
      defaultDescription: String(DEFAULTS.seed),
      describe: 'of the first image; the next ones count up',
    })
    .option('temperature', {
      type: 'number',
      defaultDescription: String(DEFAULTS.temperature),
      describe: 'below 1 likelier, above 1 more varied',
    })
    .option('top-k', {
      type: 'number',
      alias: 'top_k',
      describe:
        'draw from the k likeliest codes; below 1 the share of codes left out, like the filter_thres of DALLE-pytorch',
    })
    .option('top-p', {
      type: 'number',
      describe: 'draw from the likeliest codes that make up this probability',
    })
    .option('guidance', {
      type: 'number',
      defaultDescription: String(DEFAULTS.guidance),
      describe: 'above 1 follows the caption more closely; needs a model trained with empty captions',
    })
    .option('batch-size', {
      type: 'number',
      defaultDescription: String(DEFAULTS.batchSize),
      alias: 'batch_size',
      describe: 'images drawn at a time',
    })
    .option('truncate', {
      type: 'boolean',
      describe: 'cut prompts that are longer than the model reads',
    })
    .example(
      '$0 sample --dalle runs/dalle --prompt "a small red circle left of a blue square"',
      'four images',
    )
    .example(
      '$0 sample --dalle runs/dalle --prompt "a red circle" --count 16 --temperature 0.8 --top-k 64 --preview',
      'narrower, shown while they are drawn',
    )
    .example(
      '$0 sample --dalle runs/dalle --prompts prompts.txt --best-of 32 --keep 4 --clip runs/clip',
      'the four that CLIP likes best of 32, for each line of the file',
    )
    .example(
      '$0 sample --dalle runs/dalle --prompt "a red circle" --prime photo.jpg --keep-rows 8',
      'begins with the upper part of an image',
    )
    .example(
      '$0 sample --like samples/0003-a-red-circle.png --count 8',
      'that one, and seven more of its kind',
    );
}

export type SampleFlags = ReturnType<typeof sampleFlags> extends Argv<infer Flags> ? Flags : never;

const OTHER_NAMES: Readonly<Record<string, string>> = {
  prompts: '--prompt',
  'prime.rows': '--keep-rows',
};

/** What an option of `sample` is called on the command line. */
export const flagName: Named = (option) =>
  OTHER_NAMES[option] ?? `--${option.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** The flags as options, without the prompts, some of which stand in files. */
export function toOptions(flags: SampleFlags): SampleOptions {
  const { dalle, complete, negative, count, keep, clip, prime, like, seed, temperature, guidance, truncate } =
    flags;
  return {
    dalle,
    complete,
    negative,
    count,
    bestOf: flags['best-of'],
    keep,
    clip,
    ...(prime !== undefined && { prime: { image: prime, rows: flags['keep-rows'] as number } }),
    like,
    seed,
    temperature,
    topK: flags['top-k'],
    topP: flags['top-p'],
    guidance,
    batchSize: flags['batch-size'],
    truncate,
  };
}

export interface Output {
  /** Images of each prompt that are written. */
  readonly kept: number;
  /** Of the grid, where the user says how many. */
  readonly columns: number | undefined;
  readonly hasGrid: boolean;
}

/**
 * Checks what can be checked without a file.
 * @throws UsageError for a flag out of its range, and for flags that do not go together
 */
export function checkFlags(flags: SampleFlags): Output {
  const { dalle, like, prime, grid, count } = flags;
  if (dalle === undefined && like === undefined) {
    throw new UsageError('--dalle is missing: it says which model draws', {
      where: '--dalle',
      fix: 'name a checkpoint or run of mm train-dalle',
    });
  }
  if ((prime === undefined) !== (flags['keep-rows'] === undefined)) {
    const [there, missing] =
      prime === undefined ? ['--keep-rows', '--prime FILE'] : ['--prime', '--keep-rows N'];
    throw new UsageError(`${there} needs ${missing} beside it`, {
      where: there,
      fix: '--prime names the image, --keep-rows how many of its rows of codes are kept, from the top',
    });
  }
  if (grid !== undefined && !(Number.isInteger(grid) && grid >= 0)) {
    throw new UsageError(`--grid is a whole number from 1 on, and got ${grid}`, {
      where: '--grid',
      fix: 'say how many columns the grid has, or --no-grid for no grid',
    });
  }
  // What is in the image of --like is checked with the flags when it is read.
  const options = toOptions(flags);
  const { kept } = checkOptions(like === undefined ? options : { ...options, negative: undefined }, flagName);
  const isOne = like !== undefined && count === undefined && flags['best-of'] === undefined;
  return { kept: isOne ? 1 : kept, columns: grid || undefined, hasGrid: grid !== 0 };
}
