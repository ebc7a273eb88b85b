// The flags of mm sample, and the options of `sample` that they stand for.

import type { Argv } from 'yargs';
import { DEFAULTS, type SampleOptions } from '../../api/options.ts';
import { PRECISIONS } from '../../engine/graph/precision.ts';
import { UsageError } from '../../util/errors.ts';
import { deviceFlag, NUMBER, REPEATABLE, TEXT, withExamples } from '../help.ts';
import { wholeNumber } from '../whole-number.ts';

export function sampleFlags(yargs: Argv) {
  return withExamples(
    yargs
      .option('dalle', {
        ...TEXT,
        alias: 'dalle_path',
        defaultDescription: 'the model of --like',
        describe: 'DALL·E or DALL·E mini: a checkpoint, a run of mm train-dalle, or what mm convert wrote',
      })
      .option('prompt', { ...REPEATABLE, alias: 'text', describe: 'what the image shows; repeatable' })
      .option('prompts', {
        ...REPEATABLE,
        describe: 'text file with a prompt on each line; they follow those of --prompt; repeatable',
      })
      .option('complete', {
        ...REPEATABLE,
        describe: 'beginning of a caption: the model completes it, then samples images for it; repeatable',
      })
      .option('negative', {
        alias: 'negative_prompt',
        ...TEXT,
        defaultDescription: 'the empty caption',
        describe: 'prompt that --guidance steers away from',
      })
      .option('count', {
        ...wholeNumber('count'),
        defaultDescription: String(DEFAULTS.count),
        alias: 'num_images',
        describe: 'images for each prompt',
      })
      .option('best-of', {
        ...wholeNumber('best-of', { min: 2 }),
        describe: 'instead of --count: candidates for each prompt, of which --clip picks the best',
      })
      .option('keep', {
        ...wholeNumber('keep'),
        defaultDescription: String(DEFAULTS.keep),
        describe: 'candidates of --best-of that are written for each prompt, the best first',
      })
      .option('clip', {
        ...TEXT,
        alias: 'clip_path',
        describe:
          'CLIP that scores the candidates: a checkpoint, a run of mm train-clip, or what mm convert wrote',
      })
      .option('prime', {
        ...TEXT,
        describe: 'image file that gives the first --keep-rows rows; the model samples the others',
      })
      .option('keep-rows', {
        ...wholeNumber('keep-rows', { fix: 'keep at least one row of image tokens' }),
        describe: 'rows of image tokens kept from the image of --prime',
      })
      .option('like', {
        ...TEXT,
        describe: 'PNG of mm sample: samples it again; other flags override its settings',
      })
      .option('out', {
        ...TEXT,
        default: 'samples',
        alias: 'outputs_dir',
        describe: 'folder for the images; files already in it are kept',
      })
      .option('grid', {
        ...wholeNumber('grid', { min: 0, fix: 'give the number of columns, or --no-grid for no grid' }),
        defaultDescription: 'as many as fit',
        describe: 'columns of grid.png; --no-grid writes none',
      })
      .option('preview', {
        type: 'boolean',
        default: false,
        describe: 'update grid.png during sampling, and show it in terminals that support images',
      })
      .option('seed', {
        ...wholeNumber('seed', { min: 0 }),
        defaultDescription: String(DEFAULTS.seed),
        describe: "seed of a prompt's first image; the next images have the next seeds",
      })
      .option('temperature', {
        ...NUMBER,
        defaultDescription: String(DEFAULTS.temperature),
        describe: 'divides the logits: below 1 more probable images, above 1 more varied ones',
      })
      .option('top-k', {
        ...NUMBER,
        alias: 'top_k',
        defaultDescription: 'all, or what the weights were published with',
        describe:
          'sample from the k most probable image tokens; below 1 the share of tokens left out (filter_thres of DALLE-pytorch)',
      })
      .option('top-p', {
        ...NUMBER,
        defaultDescription: '1',
        describe: 'sample from the most probable image tokens whose probabilities add up to this',
      })
      .option('guidance', {
        ...NUMBER,
        defaultDescription: `${DEFAULTS.guidance}, or what the weights were published with`,
        describe:
          'classifier-free guidance scale: above 1 follows the prompt more closely; needs train.nullCaptions',
      })
      .option('batch-size', {
        ...wholeNumber('batch-size'),
        defaultDescription: String(DEFAULTS.batchSize),
        alias: 'batch_size',
        describe: 'images sampled at a time on a device; changes no image',
      })
      .option('devices', deviceFlag('the images'))
      .option('precision', {
        ...TEXT,
        choices: PRECISIONS,
        defaultDescription: DEFAULTS.precision,
        describe:
          'type of the matrix products, in which weights and KV cache are kept: 16 bits take half the memory',
      })
      .option('truncate', {
        type: 'boolean',
        defaultDescription: 'such a prompt is an error',
        describe: 'cut prompts longer than the model reads',
      }),
    [
      ['four images', 'sample --dalle runs/dalle --prompt "a small red circle left of a blue square"'],
      [
        'sixteen less varied ones, shown during sampling',
        'sample --dalle runs/dalle --prompt "a red circle" --count 16 --temperature 0.8 --top-k 64 --preview',
      ],
      [
        'for each line of a file, the four of 32 that CLIP scores highest',
        'sample --dalle runs/dalle --prompts prompts.txt --best-of 32 --keep 4 --clip runs/clip',
      ],
      [
        'images that begin with the upper part of another one',
        'sample --dalle runs/dalle --prompt "a red circle" --prime photo.jpg --keep-rows 8',
      ],
      [
        'an image again, and seven more with the same settings',
        'sample --like samples/0003-a-red-circle.png --count 8',
      ],
    ],
  );
}

export type SampleFlags = ReturnType<typeof sampleFlags> extends Argv<infer Flags> ? Flags : never;

/** Options of `sample` whose flags are not the key in kebab-case. */
export const SAMPLE_OPTION_FLAGS = {
  prompts: 'prompt',
  'prime.image': 'prime',
  'prime.rows': 'keep-rows',
} as const;

/** The flags as options, without the prompts, some of which are in files. */
export function toOptions(flags: SampleFlags): SampleOptions {
  const {
    precision,
    devices,
    dalle,
    complete,
    negative,
    count,
    keep,
    clip,
    prime,
    like,
    seed,
    temperature,
    guidance,
    truncate,
  } = flags;
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
    devices,
    precision,
    truncate,
  };
}

/**
 * Checks what only the command line can get wrong; `sample` checks its options.
 * @throws UsageError
 */
export function checkSampleFlags({ prime, 'keep-rows': rows }: SampleFlags): void {
  if ((prime === undefined) === (rows === undefined)) return;
  const [given, missing] =
    prime === undefined ? ['--keep-rows', '--prime FILE'] : ['--prime', '--keep-rows N'];
  throw new UsageError(`${given} needs ${missing}`, {
    code: 'E_FLAG_CONFLICT',
    option: prime === undefined ? 'keepRows' : 'prime',
    fix: '--prime names the image, --keep-rows how many of its rows of image tokens are kept, from the top',
  });
}
