// What is done with the files of format 1, by the script that wrote down what comes of it and by the test that
// compares. All paths are relative to a copy of the fixture.

/** Runs and the commands that train them; a dVAE that was trained on is not the one of the others any more. */
export const RUNS = {
  dalle: 'train-dalle',
  'dalle-variants': 'train-dalle',
  clip: 'train-clip',
  dvae: 'train-dvae',
  'dvae-dalle-pytorch': 'train-dvae',
} as const;
export type RunName = keyof typeof RUNS;
export const RUN_NAMES = Object.keys(RUNS) as RunName[];

/** Updates that the runs in the fixture have made, and those that they have after they were resumed. */
export const STEPS = { saved: 4, resumed: 6 } as const;

export const PROMPTS = ['a red circle', 'a blue square'] as const;
const prompts = PROMPTS.flatMap((prompt) => ['--prompt', prompt]);

/** Drawing, with the flags that go into the PNG's texts; the pictures are numbered from 0. */
export const SAMPLE = [
  ...['sample', '--dalle', 'dalle', '--prompt', PROMPTS[0], '--count', '2', '--seed', '7'],
  ...['--temperature', '0.9', '--top-k', '12', '--top-p', '0.95', '--guidance', '1.5'],
  ...['--negative', PROMPTS[1], '--no-grid', '--json'],
];
export const SAMPLED = '0000-a-red-circle.png';

const RANK = ['rank', 'pictures', '--clip', 'clip', ...prompts, '--json'];
const CLASSIFY = ['classify', 'pictures', '--clip', 'clip', '--no-cache', '--json'];

/** Makes a classifier of words and keeps it. */
export const KEEP_CLASSIFIER = [
  ...[...CLASSIFY, '--label', 'red', '--label', 'green', '--label', 'blue'],
  ...['--template', 'a {label} shape', '--save', 'classifier.safetensors'],
];
/** Keeps the features of the pictures in the cache. */
export const KEEP_FEATURES = RANK;

/**
 * Every use, by name. Those that draw come first: what they ask of libtensorflow they have to ask before it is used.
 * The runs are resumed last.
 */
export const USES: Readonly<Record<string, readonly string[]>> = {
  sample: [...SAMPLE, '--out', 'again'],
  like: ['sample', '--like', `samples/${SAMPLED}`, '--out', 'alike', '--no-grid', '--json'],
  variants: ['sample', '--dalle', 'dalle-variants', '--prompt', PROMPTS[0], '--out', 'variants', '--json'],
  rank: [...RANK, '--no-cache'],
  'rank, cached': RANK,
  classify: [...CLASSIFY, '--classifier', 'classifier.safetensors'],
  reconstruct: ['reconstruct', 'pictures', '--dvae', 'dvae', '--out', 'dvae.png', '--json'],
  'reconstruct, dalle-pytorch': [
    ...['reconstruct', 'pictures', '--dvae', 'dvae-dalle-pytorch'],
    ...['--out', 'dalle-pytorch.png', '--json'],
  ],
  decode: ['reconstruct', 'tokens', '--dvae', 'dvae', '--out', 'tokens.png', '--json'],
  tokenize: ['tokenize', '--data', 'pictures', '--dvae', 'dvae', '--out', 'retokenized'],
  'decode, new': ['reconstruct', 'retokenized', '--dvae', 'dvae', '--out', 'new.png', '--json'],
  'train on shards': [
    ...['train-dalle', '--config', 'dalle/config.yaml', '--tokens', 'tokens', '--run', 'from-tokens'],
    // The rest of the configuration is that of a run that is resumed; a smaller one is compiled sooner.
    ...['train.steps=2', 'model.layers=1', 'train.precision=float32', 'train.accumulate=1']
      .concat(['train.recompute=light', 'train.samples.prompts=[]', 'train.samples.count=0'])
      .flatMap((value) => ['--set', value]),
  ],
  ...Object.fromEntries(
    RUN_NAMES.map((run) => [
      `resume ${run}`,
      [
        ...[RUNS[run], '--config', `${run}/config.yaml`, '--run', run, '--resume'],
        ...['--set', `train.steps=${STEPS.resumed}`],
      ],
    ]),
  ),
  // What is asked of the average of a run that went on.
  'rank, resumed': [...RANK, '--no-cache'],
  ...Object.fromEntries(RUN_NAMES.map((run) => [`report ${run}`, ['report', run, '--json']])),
};

/** Uses whose JSON lines are figures. */
export const WITH_FIGURES = [
  'rank',
  'rank, resumed',
  'classify',
  'reconstruct',
  'reconstruct, dalle-pytorch',
  'decode',
  'decode, new',
] as const;

/** What is in expected.json. */
export interface Expected {
  /** The JSON lines that uses print. */
  readonly figures: Readonly<Record<string, readonly Figures[]>>;
  /** The lines of metrics.jsonl that training adds. */
  readonly metrics: Readonly<Record<string, readonly Figures[]>>;
}
export type Figures = Readonly<Record<string, unknown>>;

export const jsonLines = (text: string): Figures[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Figures);
