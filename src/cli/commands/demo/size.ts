// The sizes of the demo: the whole of it, and --quick, which shows that everything works.

export interface DemoSize {
  /** Default folder. */
  readonly out: string;
  /** Captioned images to render. */
  readonly images: number;
  /** Held-out prompts of each kind. */
  readonly prompts: number;
  /** Images for each prompt. */
  readonly candidates: number;
  /** `path.to.key=value` over the demo's configurations; flags override these. */
  readonly dvaeSet: readonly string[];
  readonly clipSet: readonly string[];
  readonly dalleSet: readonly string[];
}

export const WHOLE: DemoSize = {
  out: 'runs/demo',
  images: 20_000,
  prompts: 64,
  candidates: 8,
  dvaeSet: [],
  clipSet: [],
  dalleSet: [],
};

export const QUICK: DemoSize = {
  out: 'runs/quick-demo',
  images: 4000,
  prompts: 16,
  candidates: 4,
  dvaeSet: ['train.warmStart.steps=400'],
  clipSet: steps(80, 20),
  // Fewer layers learn more in the same time.
  dalleSet: ['model.layers=2', ...steps(800, 40), 'train.optimizer.learningRate.hold=400'],
};

/** A run of `count` steps, validated and saved at its end. */
function steps(count: number, warmup: number): string[] {
  return [
    ...['steps', 'evaluateEvery', 'saveEvery'].map((key) => `train.${key}=${count}`),
    `train.optimizer.learningRate.warmup=${warmup}`,
  ];
}

/** The remark on a quick demo, on the terminal, on its page and in result.json. */
export const QUICK_NOTE =
  'a quick try with a smaller model and a fraction of the training: its images are rough and often wrong; mm demo without --quick makes better ones';
