// The demo's stages: each is another command, run with flags as a user would give them, and what it reports.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command, Context } from '../../command.ts';

export interface DemoOptions {
  /** Folder that everything goes to. */
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
  /** Runs it; with `resume`, what an interrupted run left is kept. */
  run(context: Context, resume: boolean): Promise<void>;
}

/** Where the stages leave their results. */
export const places = (out: string) => ({
  data: join(out, 'data'),
  tokenizer: join(out, 'tokenizer.json'),
  dvae: join(out, 'dvae'),
  tokens: join(out, 'tokens'),
  clip: join(out, 'clip'),
  dalle: join(out, 'dalle'),
});

const config = (name: string): string => fileURLToPath(new URL(`../../../configs/${name}`, import.meta.url));

/** Images are drawn at the size the dVAE reads. */
const SIZE = 32;
/** More than the captions fill. */
const VOCABULARY = 512;

export function demoStages({ out, seed, images, dvaeSet, clipSet, dalleSet }: DemoOptions): Stage[] {
  const at = places(out);
  const imageFolder = join(at.data, 'images');
  const stage = (
    name: string,
    title: string,
    load: () => Promise<Command>,
    flags: (resume: boolean) => object,
  ): Stage => ({
    name,
    title,
    run: async (context, resume) => (await load()).run(flags(resume) as Record<string, unknown>, context),
  });
  return [
    stage(
      'data',
      'draw captioned images',
      async () => (await import('../data.ts')).makeShapesCommand as Command,
      () => ({ out: at.data, count: images, size: SIZE, seed, force: false }),
    ),
    stage(
      'train-bpe',
      'train the tokenizer',
      async () => (await import('../train-bpe.ts')).command as Command,
      () => ({ data: imageFolder, out: at.tokenizer, vocabulary: VOCABULARY }),
    ),
    stage(
      'train-dvae',
      'train the discrete VAE',
      async () => (await import('../train-dvae.ts')).command as Command,
      (resume) => ({
        config: config('dvae/demo.yaml'),
        set: dvaeSet,
        data: imageFolder,
        run: at.dvae,
        seed,
        resume,
      }),
    ),
    stage(
      'tokenize',
      'turn the images into codes',
      async () => (await import('../tokenize.ts')).command as Command,
      (resume) => ({ data: imageFolder, dvae: at.dvae, out: at.tokens, 'shard-size': 1000, resume }),
    ),
    stage(
      'train-clip',
      'train the CLIP that ranks',
      async () => (await import('../train-clip.ts')).command as Command,
      (resume) => ({
        config: config('clip/demo.yaml'),
        set: clipSet,
        data: imageFolder,
        tokenizer: at.tokenizer,
        run: at.clip,
        seed,
        resume,
      }),
    ),
    stage(
      'train-dalle',
      'train the joint Transformer',
      async () => (await import('../train-dalle.ts')).command as Command,
      (resume) => ({
        config: config('dalle/demo.yaml'),
        set: dalleSet,
        tokens: at.tokens,
        dvae: at.dvae,
        tokenizer: at.tokenizer,
        run: at.dalle,
        seed,
        resume,
      }),
    ),
  ];
}
