// What a program may ask of `sample`, and what is refused before anything is loaded.

import { UsageError } from '../util/errors.ts';

export interface SampleOptions {
  /** Checkpoint or run of mm train-dalle. With `like`, by default the one that drew that image. */
  readonly dalle?: string;
  /** What the images show. */
  readonly prompts?: readonly string[];
  /** Beginnings of captions, which the model goes on with before it draws; they come after `prompts`. */
  readonly complete?: readonly string[];
  /** What guidance steers away from, in place of the empty caption; nothing when it is empty. */
  readonly negative?: string;
  /** Images of each prompt: 4 by default. */
  readonly count?: number;
  /** In place of `count`: of how many candidates CLIP chooses the `keep` best (1), the best first. */
  readonly bestOf?: number;
  readonly keep?: number;
  /** What chooses: checkpoint or run of mm train-clip, or what mm convert made. */
  readonly clip?: string;
  /** Seed of each prompt's first image (0); the next ones count up. */
  readonly seed?: number;
  /** Divides the logits: below 1 likelier, above 1 more varied images; 1 by default. */
  readonly temperature?: number;
  /**
   * The likeliest codes to draw from: how many, or below 1 the share left out, as DALLE-pytorch's `filter_thres`. There
   * the share is of text tokens and codes together, so that the same number leaves fewer codes out.
   */
  readonly topK?: number;
  /** Draws from the likeliest codes that make up this probability. */
  readonly topP?: number;
  /** Weight of the caption against no caption, or against `negative`; 1, the default, is none. */
  readonly guidance?: number;
  /** An image whose first rows of codes are kept. */
  readonly prime?: Prime;
  /** A PNG that `sample` made: its prompt, seed and settings are taken where these options do not say another. */
  readonly like?: string;
  /** Images drawn at a time: 16 by default. Changes no image. */
  readonly batchSize?: number;
  /** Whether texts that are longer than the model reads are cut; they are refused by default. */
  readonly truncate?: boolean;
  /** Stops by an AbortError; images that were yielded are finished. */
  readonly signal?: AbortSignal;
  /** Told how many of all codes are drawn. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Told what the model made of a beginning of `complete`. */
  readonly onCaption?: (caption: string, beginning: string) => void;
  /** Shown the images as they are, about once a second; a promise that it returns is waited for. */
  readonly onPreview?: (images: readonly PreviewImage[]) => Promise<void> | void;
  /** Told of what is odd and no reason to stop, such as a damaged checkpoint passed over; by default a warning of the process. */
  readonly onWarning?: (message: string) => void;
}

export interface Prime {
  /** A file, or the contents of one. */
  readonly image: string | Uint8Array;
  /** Rows of codes that are kept, from the top: at least 1, and fewer than the image has. */
  readonly rows: number;
}

/** An image that is being drawn. */
export interface PreviewImage {
  readonly prompt: string;
  readonly seed: number;
  /** Where it stands among all that are drawn. */
  readonly index: number;
  /** RGB, size × size × 3; grey below the rows that are drawn. */
  readonly pixels: Uint8Array;
  readonly size: number;
}

/** How many images of each prompt are drawn, and how many of them kept. */
export interface Choice {
  readonly drawn: number;
  readonly kept: number;
}

export const DEFAULTS = {
  count: 4,
  keep: 1,
  seed: 0,
  temperature: 1,
  guidance: 1,
  batchSize: 16,
} as const;

/** What the options are called where the user wrote them. */
export type Named = (option: keyof SampleOptions | 'prime.rows') => string;

/**
 * Checks what can be checked without a model.
 * @param named what messages call the options
 * @throws UsageError for an option out of its range, and for options that do not go together
 */
export function checkOptions(options: SampleOptions, named: Named): Choice {
  const { temperature = DEFAULTS.temperature, topK, topP, guidance = DEFAULTS.guidance } = options;
  const inRange = (option: Parameters<Named>[0], value: unknown, holds: boolean, expected: string): void => {
    if (holds) return;
    throw new UsageError(`${named(option)} is ${expected}, and got ${value}`, {
      where: named(option),
      fix: 'mm sample --help says what each flag means',
    });
  };
  const atLeast = (option: Parameters<Named>[0], value: number, least: number): void =>
    inRange(option, value, Number.isSafeInteger(value) && value >= least, `a whole number from ${least} on`);
  inRange('temperature', temperature, temperature > 0 && Number.isFinite(temperature), 'a number above 0');
  inRange(
    'topK',
    topK,
    topK === undefined || (topK > 0 && (topK < 1 || Number.isInteger(topK))),
    'a whole number, or a share below 1',
  );
  inRange('topP', topP, topP === undefined || (topP > 0 && topP <= 1), 'a number above 0 and at most 1');
  inRange('guidance', guidance, guidance >= 0 && Number.isFinite(guidance), 'a number from 0 on');
  atLeast('batchSize', options.batchSize ?? DEFAULTS.batchSize, 1);
  atLeast('seed', options.seed ?? DEFAULTS.seed, 0);
  if (options.prime) atLeast('prime.rows', options.prime.rows, 1);
  if (options.negative && guidance <= 1) {
    throw new UsageError(`${named('negative')} acts through guidance, and guidance is ${guidance}`, {
      where: named('negative'),
      fix: `set ${named('guidance')} above 1, for example 3, or leave ${named('negative')} out`,
    });
  }
  return checkChoice(options, named, atLeast);
}

function checkChoice(
  { count, bestOf, keep, clip }: SampleOptions,
  named: Named,
  atLeast: (option: keyof SampleOptions, value: number, least: number) => void,
): Choice {
  atLeast('count', count ?? DEFAULTS.count, 1);
  if (bestOf === undefined) {
    for (const [option, value, does] of [
      ['keep', keep, 'says how many candidates stay'],
      ['clip', clip, 'scores candidates'],
    ] as const) {
      if (value === undefined) continue;
      const fix = `add ${named('bestOf')} N, or leave ${named(option)} out`;
      throw new UsageError(`${named(option)} ${does}, and without ${named('bestOf')} there are none`, {
        where: named(option),
        fix,
      });
    }
    return { drawn: count ?? DEFAULTS.count, kept: count ?? DEFAULTS.count };
  }
  atLeast('bestOf', bestOf, 2);
  if (count !== undefined) {
    throw new UsageError(`${named('count')} and ${named('bestOf')} both say how many images are drawn`, {
      where: named('count'),
      fix: `leave ${named('count')} out; ${named('keep')} says how many of ${named('bestOf')} are written`,
    });
  }
  if (clip === undefined) {
    throw new UsageError(`${named('bestOf')} needs a CLIP that scores the candidates`, {
      where: named('bestOf'),
      fix: `add ${named('clip')} CHECKPOINT, a run of mm train-clip or what mm convert made`,
    });
  }
  atLeast('keep', keep ?? DEFAULTS.keep, 1);
  if (keep !== undefined && keep > bestOf) {
    throw new UsageError(
      `${named('keep')} ${keep} is more than the ${bestOf} candidates of ${named('bestOf')}`,
      {
        where: named('keep'),
        fix: 'keep fewer, or draw more',
      },
    );
  }
  return { drawn: bestOf, kept: keep ?? DEFAULTS.keep };
}
