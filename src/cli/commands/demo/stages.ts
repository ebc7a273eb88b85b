// The demo's stages: each is another command, run with flags as a user would give them.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command, Context } from '../../command.ts';

export interface DemoOptions {
  /** Folder that everything is written to. */
  readonly out: string;
  readonly seed: number;
  readonly images: number;
  /** `path.to.key=value` over the demo's configurations. */
  readonly dvaeSet: readonly string[];
  readonly clipSet: readonly string[];
  readonly dalleSet: readonly string[];
}

export interface Stage {
  readonly name: string;
  readonly title: string;
  /** What an interrupted run of the stage leaves, where it can be resumed. */
  readonly resumes?: string;
  run(context: Context, resume: boolean): Promise<void>;
}

/** Where the stages write. */
export const pathsIn = (out: string) => ({
  data: join(out, 'data'),
  tokenizer: join(out, 'tokenizer.json'),
  dvae: join(out, 'dvae'),
  tokens: join(out, 'tokens'),
  clip: join(out, 'clip'),
  dalle: join(out, 'dalle'),
});

const config = (name: string): string =>
  fileURLToPath(new URL(`../../../../configs/${name}/demo.yaml`, import.meta.url));

/** Pixels on a side: the size that the demo's dVAE reads. */
const IMAGE_SIZE = 32;
/** More tokens than the captions give rise to. */
const VOCABULARY = 512;

/** A stage from a command and the flags it is run with; flags that are left out are not given. */
function stage<Flags>(
  about: Omit<Stage, 'run'>,
  load: () => Promise<{ readonly command: Command<Flags> }>,
  flags: (resume: boolean) => Partial<Flags>,
): Stage {
  return {
    ...about,
    run: async (context, resume) => (await load()).command.run(flags(resume) as Flags, context),
  };
}

export function demoStages({ out, seed, images, dvaeSet, clipSet, dalleSet }: DemoOptions): Stage[] {
  const paths = pathsIn(out);
  const data = join(paths.data, 'images');
  const { dvae, tokens, tokenizer } = paths;
  return [
    stage(
      { name: 'data', title: 'render captioned images' },
      () => import('../data/make-shapes.ts'),
      () => ({ out: paths.data, count: images, size: IMAGE_SIZE, seed, force: false }),
    ),
    stage(
      { name: 'train-bpe', title: 'train the tokenizer' },
      () => import('../train-bpe.ts'),
      () => ({ data, out: tokenizer, vocabulary: VOCABULARY }),
    ),
    stage(
      { name: 'train-dvae', title: 'train the discrete VAE', resumes: dvae },
      () => import('../train-dvae.ts'),
      (resume) => ({ config: config('dvae'), set: [...dvaeSet], data, run: dvae, seed, resume }),
    ),
    stage(
      { name: 'tokenize', title: 'encode the images as tokens', resumes: tokens },
      () => import('../tokenize.ts'),
      (resume) => ({ data, dvae, out: tokens, 'shard-size': 1000, resume }),
    ),
    stage(
      { name: 'train-dalle', title: 'train the joint Transformer', resumes: paths.dalle },
      () => import('../train-dalle.ts'),
      (resume) => ({
        config: config('dalle'),
        set: [...dalleSet],
        tokens,
        dvae,
        tokenizer,
        run: paths.dalle,
        seed,
        resume,
      }),
    ),
    stage(
      { name: 'train-clip', title: 'train the CLIP that ranks', resumes: paths.clip },
      () => import('../train-clip.ts'),
      (resume) => ({
        config: config('clip'),
        set: [...clipSet],
        data,
        tokenizer,
        run: paths.clip,
        seed,
        resume,
      }),
    ),
  ];
}
