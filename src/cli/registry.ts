// Every command's name and one-line description; the file behind it is loaded when it is called.

import type { Command } from './command.ts';

export interface CommandEntry {
  readonly name: string;
  /** Positional arguments, in yargs' notation. */
  readonly positionals?: string;
  readonly describe: string;
  // biome-ignore lint/suspicious/noExplicitAny: each command has flags of its own
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

export const REGISTRY: readonly RegistryEntry[] = [
  { name: 'setup', describe: 'put libtensorflow in the cache', load: () => import('./commands/setup.ts') },
  {
    name: 'doctor',
    describe: 'report what is installed and how to mend what is not',
    load: () => import('./commands/doctor.ts'),
  },
  {
    name: 'demo',
    describe: 'the whole main job on captioned shapes it draws itself',
    load: () => import('./commands/demo.ts'),
  },
  {
    name: 'data',
    describe: 'make the demo data set (make-shapes) or lint a data set (check)',
    actions: [
      {
        name: 'make-shapes',
        describe: 'draw captioned images of shapes',
        load: async () => ({ command: (await import('./commands/data.ts')).makeShapesCommand }),
      },
      {
        name: 'check',
        positionals: '<path>',
        describe: 'look through images and captions for what training would stumble over',
        load: async () => ({ command: (await import('./commands/data.ts')).checkCommand }),
      },
    ],
  },
  {
    name: 'train-bpe',
    describe: 'train a byte-pair tokenizer on captions',
    load: () => import('./commands/train-bpe.ts'),
  },
  { name: 'train-dvae', describe: 'train the discrete VAE', load: () => import('./commands/train-dvae.ts') },
  {
    name: 'tokenize',
    describe: 'turn images and captions into token shards',
    load: () => import('./commands/tokenize.ts'),
  },
  {
    name: 'reconstruct',
    positionals: '<images..>',
    describe: 'images to codes and back, beside the originals',
    load: () => import('./commands/reconstruct.ts'),
  },
  {
    name: 'train-dalle',
    describe: 'train the joint text–image Transformer',
    load: () => import('./commands/train-dalle.ts'),
  },
  {
    name: 'train-clip',
    describe: 'train CLIP on captioned images',
    load: () => import('./commands/train-clip.ts'),
  },
  {
    name: 'rank',
    positionals: '<images..>',
    describe: 'images ordered by how well they go with a prompt',
    load: () => import('./commands/rank.ts'),
  },
  {
    name: 'classify',
    positionals: '<images..>',
    describe: 'what images show, out of labels of your own',
    load: () => import('./commands/classify.ts'),
  },
  {
    name: 'convert',
    positionals: '<from..>',
    describe: "other people's weights into checkpoints",
    load: () => import('./commands/convert.ts'),
  },
  {
    name: 'plan',
    describe: 'what a training configuration takes: parameters, operations, memory',
    load: () => import('./commands/plan.ts'),
  },
  {
    name: 'report',
    positionals: '<run>',
    describe: 'a training run as one HTML page: curves, images over time, times',
    load: () => import('./commands/report.ts'),
  },
  { name: 'sample', describe: 'images for prompts', load: () => import('./commands/sample.ts') },
];
