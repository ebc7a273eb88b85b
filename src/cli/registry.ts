// Every command's name and one-line description; the file behind it is loaded when it is called.

import type { Command } from './command.ts';

export interface CommandEntry {
  readonly name: string;
  /** Positional arguments in yargs' notation, `<images..>`. */
  readonly positionals?: string;
  readonly describe: string;
  /** It starts another command, which stands after `--`. */
  readonly startsAnother?: boolean;
  // biome-ignore lint/suspicious/noExplicitAny: each command has its own flags
  load(): Promise<{ readonly command: Command<any> }>;
}

/** `mm NAME ACTION`. */
export interface GroupEntry {
  readonly name: string;
  readonly describe: string;
  readonly actions: readonly CommandEntry[];
}

export type RegistryEntry = CommandEntry | GroupEntry;

export function isGroup(entry: RegistryEntry): entry is GroupEntry {
  return 'actions' in entry;
}

/** In the order of the help: first the main job, then what is done with its results. */
export const REGISTRY: readonly RegistryEntry[] = [
  {
    name: 'setup',
    describe: 'install libtensorflow into the cache',
    load: () => import('./commands/setup.ts'),
  },
  {
    name: 'doctor',
    describe: 'check the installation, and say how to fix what is missing',
    load: () => import('./commands/doctor.ts'),
  },
  {
    name: 'demo',
    describe: 'render captioned shapes, train every model on them, and sample held-out prompts',
    load: () => import('./commands/demo/demo.ts'),
  },
  {
    name: 'data',
    describe: 'render a data set (make-shapes, make-emoji), check one (check), pack one (pack)',
    actions: [
      {
        name: 'make-shapes',
        describe: 'render captioned images of shapes',
        load: () => import('./commands/data/make-shapes.ts'),
      },
      {
        name: 'make-emoji',
        describe: 'render the emoji of a font, captioned with their names',
        load: () => import('./commands/data/make-emoji.ts'),
      },
      {
        name: 'check',
        positionals: '<path>',
        describe: 'find images and captions that training cannot use',
        load: () => import('./commands/data/check.ts'),
      },
      {
        name: 'pack',
        positionals: '<path>',
        describe: 'pack any source of images as WebDataset tars',
        load: () => import('./commands/data/pack.ts'),
      },
    ],
  },
  {
    name: 'train-bpe',
    describe: 'train a byte-pair tokenizer on captions',
    load: () => import('./commands/train-bpe.ts'),
  },
  {
    name: 'train-dvae',
    describe: 'train a discrete VAE on images',
    load: () => import('./commands/train-dvae.ts'),
  },
  {
    name: 'tokenize',
    describe: 'encode images with a dVAE into token shards for mm train-dalle',
    load: () => import('./commands/tokenize.ts'),
  },
  {
    name: 'reconstruct',
    positionals: '<images..>',
    describe: 'encode and decode images with a dVAE, and measure the difference',
    load: () => import('./commands/reconstruct.ts'),
  },
  {
    name: 'train-dalle',
    describe: 'train a DALL·E, the Transformer over text and image tokens',
    load: () => import('./commands/train-dalle.ts'),
  },
  {
    name: 'train-clip',
    describe: 'train a CLIP on captioned images',
    load: () => import('./commands/train-clip.ts'),
  },
  {
    name: 'launch',
    startsAnother: true,
    describe: 'start a training run as several processes of this machine',
    load: () => import('./commands/launch.ts'),
  },
  {
    name: 'sample',
    describe: 'sample images for prompts from a DALL·E',
    load: () => import('./commands/sample.ts'),
  },
  {
    name: 'rank',
    positionals: '<images..>',
    describe: 'rank images by how well they match prompts, by CLIP',
    load: () => import('./commands/rank.ts'),
  },
  {
    name: 'classify',
    positionals: '<images..>',
    describe: 'classify images with labels in your own words, by CLIP',
    load: () => import('./commands/classify.ts'),
  },
  {
    name: 'convert',
    positionals: '<from..>',
    describe: 'convert weights of other programs into a checkpoint',
    load: () => import('./commands/convert.ts'),
  },
  {
    name: 'export',
    positionals: '<from>',
    describe: 'export a checkpoint to the formats of other programs',
    load: () => import('./commands/export.ts'),
  },
  {
    name: 'plan',
    describe: 'compute what a training configuration needs: parameters, operations, memory',
    load: () => import('./commands/plan.ts'),
  },
  {
    name: 'report',
    positionals: '<run>',
    describe: 'write a training run as one HTML page: curves, images over time, times',
    load: () => import('./commands/report.ts'),
  },
];
