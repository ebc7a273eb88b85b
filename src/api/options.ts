// The options of `sample`, and what is refused before anything is loaded.

import type { Precision } from '../engine/graph/precision.ts';
import { parseDevices } from '../engine/session/devices.ts';
import { UsageError } from '../util/errors.ts';
import { assertWholeNumber } from '../util/whole-number.ts';

export interface SampleOptions {
  /** Checkpoint or run of mm train-dalle. With `like`, by default the one that sampled that image. */
  readonly dalle?: string;
  /** What the images show. */
  readonly prompts?: readonly string[];
  /** Beginnings of captions, which the model completes before it samples images; they follow `prompts`. */
  readonly complete?: readonly string[];
  /** Prompt that guidance steers away from, instead of the empty caption. An empty text is the empty caption. */
  readonly negative?: string;
  /** Images for each prompt: 4 by default. */
  readonly count?: number;
  /** Instead of `count`: candidates for each prompt, of which CLIP picks the `keep` best. */
  readonly bestOf?: number;
  /** With `bestOf`: images kept for each prompt, the best first; 1 by default. */
  readonly keep?: number;
  /** CLIP that scores the candidates: checkpoint or run of mm train-clip, or what mm convert wrote. */
  readonly clip?: string;
  /** Seed of each prompt's first image, 0 by default; the next images have the next seeds. */
  readonly seed?: number;
  /** Divides the logits: below 1 more probable images, above 1 more varied ones; 1 by default. */
  readonly temperature?: number;
  /**
   * Samples from the most probable image tokens: a number of them, or below 1 the share left out, as DALLE-pytorch's
   * `filter_thres`. There the share is of text and image tokens together, so the same number leaves fewer out.
   */
  readonly topK?: number;
  /** Samples from the most probable image tokens whose probabilities add up to this. */
  readonly topP?: number;
  /** Classifier-free guidance scale, against the empty caption or `negative`; 1, the default, is no guidance. */
  readonly guidance?: number;
  /** An image whose first rows of image tokens are kept. */
  readonly prime?: Prime;
  /** A PNG of `sample`: its prompt, seed and settings are the defaults of these options. */
  readonly like?: string;
  /** Type of the products, in which weights and KV cache are kept: float32 by default; 16 bits take half the memory. */
  readonly precision?: Precision;
  /** Images sampled at a time on a device: 16 by default. Changes no image. */
  readonly batchSize?: number;
  /**
   * Devices that share the images: `all` GPUs, GPUs such as `0,1`, or parts of the processor such as `cpu:0,cpu:1`; one
   * by default. Each holds the whole model. Devices of one kind change no image.
   */
  readonly devices?: string;
  /** Whether prompts longer than the model reads are cut; otherwise they are an error. */
  readonly truncate?: boolean;
  /** Stops with an AbortError; images that were yielded are finished. */
  readonly signal?: AbortSignal;
  /** Called with the number of image tokens sampled so far, and of all. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Called with each completed caption of `complete`. */
  readonly onCaption?: (caption: string, beginning: string) => void;
  /** Called with the unfinished images about once a second; a promise that it returns is awaited. */
  readonly onPreview?: (images: readonly PreviewImage[]) => Promise<void> | void;
  /** Called with warnings, such as of a damaged checkpoint that was skipped; by default they are process warnings. */
  readonly onWarning?: (message: string) => void;
}

export interface Prime {
  /** Path of an image file, or its contents. */
  readonly image: string | Uint8Array;
  /** Rows of image tokens kept, from the top: at least 1, and fewer than the image has. */
  readonly rows: number;
}

/** An unfinished image. */
export interface PreviewImage {
  readonly prompt: string;
  readonly seed: number;
  /** Its position among all images of the call. */
  readonly index: number;
  /** RGB, size × size × 3; grey below the rows sampled so far. */
  readonly pixels: Uint8Array;
  readonly size: number;
}

/** Images of each prompt: sampled, and kept of those. */
export interface Choice {
  readonly candidates: number;
  readonly kept: number;
}

export const DEFAULTS = {
  count: 4,
  keep: 1,
  seed: 0,
  temperature: 1,
  guidance: 1,
  batchSize: 16,
  precision: 'float32',
} as const;

/** Images that `sample` samples and yields for each prompt. */
export function choiceOf({ count, bestOf, keep, like }: SampleOptions): Choice {
  if (bestOf !== undefined) return { candidates: bestOf, kept: keep ?? DEFAULTS.keep };
  const images = count ?? (like === undefined ? DEFAULTS.count : 1);
  return { candidates: images, kept: images };
}

/**
 * Checks what can be checked without a model. `like` has to be resolved: see `withRecipe`.
 * @throws UsageError for an option out of its range, and for options that exclude or need each other
 */
export function checkOptions(options: SampleOptions): void {
  const { temperature = DEFAULTS.temperature, topK, topP, guidance = DEFAULTS.guidance } = options;
  assertOption('temperature', temperature, 'a number above 0', (t) => t > 0 && Number.isFinite(t));
  assertOption(
    'topK',
    topK,
    'a whole number, or a share below 1',
    (k) => k > 0 && (k < 1 || Number.isInteger(k)),
  );
  assertOption('topP', topP, 'a number above 0, at most 1', (p) => p > 0 && p <= 1);
  assertOption('guidance', guidance, 'a number, at least 0', (g) => g >= 0 && Number.isFinite(g));
  assertWholeNumber('batchSize', options.batchSize ?? DEFAULTS.batchSize);
  assertWholeNumber('seed', options.seed ?? DEFAULTS.seed, { min: 0 });
  parseDevices(options.devices);
  if (options.prime) {
    assertWholeNumber('prime.rows', options.prime.rows, {}, 'keep at least one row of image tokens');
  }
  if (options.negative && guidance <= 1) {
    throw new UsageError(`\`negative\` needs \`guidance\` above 1, received ${guidance}`, {
      code: 'E_NEGATIVE_WITHOUT_GUIDANCE',
      option: 'negative',
      fix: 'set `guidance` above 1, for example 3, or leave `negative` out',
    });
  }
  checkChoice(options);
}

/** Checks a number that may be left out. */
function assertOption(
  option: keyof SampleOptions,
  value: number | undefined,
  expected: string,
  holds: (value: number) => boolean,
): void {
  if (value === undefined || holds(value)) return;
  throw new UsageError(`\`${option}\`: expected ${expected}, received ${value}`, {
    code: 'E_OPTION_VALUE',
    option,
    fix: `leave \`${option}\` out for its default`,
  });
}

function checkChoice({ count, bestOf, keep, clip }: SampleOptions): void {
  assertWholeNumber('count', count ?? DEFAULTS.count);
  if (bestOf === undefined) {
    for (const [option, value] of [
      ['keep', keep],
      ['clip', clip],
    ] as const) {
      if (value === undefined) continue;
      throw new UsageError(`\`${option}\` needs \`bestOf\`, which makes candidates to pick from`, {
        code: 'E_OPTION_CONFLICT',
        option,
        fix: `set \`bestOf\` to the number of candidates, or leave \`${option}\` out`,
      });
    }
    return;
  }
  assertWholeNumber('bestOf', bestOf, { min: 2 });
  if (count !== undefined) {
    throw new UsageError('`count` and `bestOf` exclude each other: both are the number of images sampled', {
      code: 'E_OPTION_CONFLICT',
      option: 'count',
      fix: 'leave `count` out; `keep` is the number of the `bestOf` candidates that are kept',
    });
  }
  if (clip === undefined) {
    throw new UsageError('`bestOf` needs a CLIP that scores the candidates', {
      code: 'E_CLIP_MISSING',
      option: 'bestOf',
      fix: 'set `clip` to a checkpoint, a run of mm train-clip, or what mm convert wrote',
    });
  }
  assertWholeNumber('keep', keep ?? DEFAULTS.keep, { max: bestOf });
}
