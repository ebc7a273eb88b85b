// The flags of mm sample, and what they may be.

import type { Argv } from 'yargs';
import { UsageError } from '../../util/errors.ts';

const COUNT = 4;

export function sampleFlags(yargs: Argv) {
  return yargs
    .option('dalle', {
      type: 'string',
      requiresArg: true,
      demandOption: true,
      alias: ['dalle_path', 'dalle-path'],
      describe: 'checkpoint or run of mm train-dalle',
    })
    .option('prompt', {
      type: 'string',
      array: true,
      nargs: 1,
      alias: 'text',
      describe: 'what the picture shows; repeatable',
    })
    .option('prompts', {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'file of prompts, a line each; they come after those of --prompt',
    })
    .option('count', {
      type: 'number',
      defaultDescription: String(COUNT),
      alias: ['num_images', 'num-images'],
      describe: 'pictures for each prompt',
    })
    .option('best-of', {
      type: 'number',
      requiresArg: true,
      describe: 'in place of --count: candidates drawn for each prompt, of which --clip chooses',
    })
    .option('keep', {
      type: 'number',
      requiresArg: true,
      defaultDescription: '1',
      describe: 'candidates of --best-of that are written, the best first',
    })
    .option('clip', {
      type: 'string',
      requiresArg: true,
      alias: ['clip_path', 'clip-path'],
      describe: 'what scores the candidates: checkpoint or run of mm train-clip, or what mm convert made',
    })
    .option('out', {
      type: 'string',
      default: 'samples',
      alias: ['outputs_dir', 'outputs-dir'],
      describe: 'folder for the pictures',
    })
    .option('seed', {
      type: 'number',
      default: 0,
      describe: 'of the first picture; the next ones count up',
    })
    .option('temperature', {
      type: 'number',
      default: 1,
      describe: 'below 1 likelier, above 1 more varied',
    })
    .option('top-k', {
      type: 'number',
      alias: 'top_k',
      describe:
        'draw from the k likeliest codes; below 1 the share of codes left out, as DALLE-pytorch means it',
    })
    .option('top-p', {
      type: 'number',
      describe: 'draw from the likeliest codes that make up this probability',
    })
    .option('guidance', {
      type: 'number',
      default: 1,
      describe: 'above 1 follows the caption more closely; needs a model trained with empty captions',
    })
    .option('batch-size', {
      type: 'number',
      default: 16,
      alias: 'batch_size',
      describe: 'pictures drawn at a time',
    })
    .option('truncate', {
      type: 'boolean',
      default: false,
      describe: 'cut prompts that are longer than the model reads',
    })
    .example(
      '$0 sample --dalle runs/dalle --prompt "a small red circle left of a blue square"',
      'four pictures',
    )
    .example(
      '$0 sample --dalle runs/dalle --prompt "a red circle" --count 16 --temperature 0.8 --top-k 64',
      'narrower',
    )
    .example(
      '$0 sample --dalle runs/dalle --prompts prompts.txt --best-of 32 --keep 4 --clip runs/clip',
      'the four that CLIP likes best of 32, for each line of the file',
    );
}

export type SampleFlags = ReturnType<typeof sampleFlags> extends Argv<infer Flags> ? Flags : never;

export interface Choice {
  /** Pictures drawn for each prompt. */
  readonly drawn: number;
  /** Those of them that are written. */
  readonly kept: number;
  /** The checkpoint that chooses; undefined where all are written. */
  readonly clip: string | undefined;
}

/**
 * How many pictures are drawn and kept.
 * @throws UsageError for a flag out of its range, and for flags that do not go together
 */
export function checkFlags(flags: SampleFlags): Choice {
  const { temperature, 'top-k': topK, 'top-p': topP, guidance, 'batch-size': batchSize, seed } = flags;
  inRange('--temperature', temperature, temperature > 0 && Number.isFinite(temperature), 'a number above 0');
  inRange(
    '--top-k',
    topK,
    topK === undefined || (topK > 0 && (topK < 1 || Number.isInteger(topK))),
    'a whole number, or a share below 1',
  );
  inRange('--top-p', topP, topP === undefined || (topP > 0 && topP <= 1), 'a number above 0 and at most 1');
  inRange('--guidance', guidance, guidance >= 0 && Number.isFinite(guidance), 'a number from 0 on');
  atLeast('--batch-size', batchSize, 1);
  atLeast('--seed', seed, 0);
  return checkChoice(flags);
}

function checkChoice({ count, 'best-of': drawn, keep, clip }: SampleFlags): Choice {
  atLeast('--count', count ?? COUNT, 1);
  if (drawn === undefined) {
    for (const [where, value, does] of [
      ['--keep', keep, 'says how many candidates stay'],
      ['--clip', clip, 'scores candidates'],
    ] as const) {
      if (value === undefined) continue;
      const fix = `add --best-of N, or leave ${where} out`;
      throw new UsageError(`${where} ${does}, and without --best-of there are none`, { where, fix });
    }
    return { drawn: count ?? COUNT, kept: count ?? COUNT, clip: undefined };
  }
  atLeast('--best-of', drawn, 2);
  if (count !== undefined) {
    throw new UsageError('--count and --best-of both say how many pictures are drawn', {
      where: '--count',
      fix: 'leave --count out; --keep says how many of --best-of are written',
    });
  }
  if (clip === undefined) {
    throw new UsageError('--best-of needs a CLIP that scores the candidates', {
      where: '--best-of',
      fix: 'add --clip CHECKPOINT, a run of mm train-clip or what mm convert made',
    });
  }
  atLeast('--keep', keep ?? 1, 1);
  if (keep !== undefined && keep > drawn) {
    throw new UsageError(`--keep ${keep} is more than the ${drawn} candidates of --best-of`, {
      where: '--keep',
      fix: 'keep fewer, or draw more',
    });
  }
  return { drawn, kept: keep ?? 1, clip };
}

const atLeast = (flag: string, value: number, least: number): void =>
  inRange(flag, value, Number.isInteger(value) && value >= least, `a whole number from ${least} on`);

function inRange(flag: string, value: unknown, holds: boolean, expected: string): void {
  if (!holds)
    throw new UsageError(`${flag} is ${expected}, and got ${value}`, {
      where: flag,
      fix: 'mm sample --help says what each flag means',
    });
}
