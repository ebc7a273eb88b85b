// mm demo: the whole main job. Renders captioned shapes, trains every model on them, and samples held-out prompts.

import { existsSync } from 'node:fs';
import { type Context, defineCommand } from '../../command.ts';
import { NUMBER, REPEATABLE, TEXT, withExamples } from '../../help.ts';
import { wholeNumber } from '../../whole-number.ts';
import type { HeldOutCounts } from './held-out.ts';
import { clear, type DemoResult, readResult, writeResult } from './progress-file.ts';
import { type DemoSize, QUICK, QUICK_NOTE, WHOLE } from './size.ts';
import { demoStages, pathsIn } from './stages.ts';

const set = (name: string) =>
  ({
    ...REPEATABLE,
    default: [] as string[],
    defaultDescription: 'none',
    describe: `path.to.key=value: sets a key of configs/${name}/demo.yaml; repeatable`,
  }) as const;

/** The default of a flag in each size. */
const bySize = (key: keyof DemoSize): string => `${WHOLE[key]}, with --quick ${QUICK[key]}`;

export const command = defineCommand({
  flags: (yargs) =>
    withExamples(
      yargs
        .option('out', {
          ...TEXT,
          defaultDescription: bySize('out'),
          describe: 'folder for data, runs and results; an interrupted demo in it is resumed',
        })
        .option('quick', {
          type: 'boolean',
          default: false,
          describe: 'a try of about two minutes: fewer images, less training, rough results',
        })
        .option('seed', {
          ...wholeNumber('seed', { min: 0 }),
          default: 0,
          describe: 'seed of data, models and samples',
        })
        .option('images', {
          ...wholeNumber('images'),
          defaultDescription: bySize('images'),
          describe: 'captioned images to render and train on',
        })
        .option('prompts', {
          ...wholeNumber('prompts'),
          defaultDescription: bySize('prompts'),
          describe: 'held-out prompts of each kind to sample: scenes, and pairs of colour and shape',
        })
        .option('candidates', {
          ...wholeNumber('candidates'),
          defaultDescription: bySize('candidates'),
          describe: 'images for each prompt, which CLIP ranks',
        })
        .option('temperature', { ...NUMBER, default: 0.4, describe: 'sampling temperature' })
        .option('guidance', {
          ...NUMBER,
          default: 1.5,
          describe: 'classifier-free guidance scale; 1 is no guidance',
        })
        .option('dvae-set', set('dvae'))
        .option('clip-set', set('clip'))
        .option('dalle-set', set('dalle'))
        .option('restart', {
          type: 'boolean',
          default: false,
          describe: 'delete what an earlier demo left in the folder, and start again',
        }),
      [
        ['about eight minutes on two cores', 'demo'],
        ['about two minutes, to see that everything works', 'demo --quick'],
      ],
    ),

  async run({ quick, seed, temperature, guidance, restart, ...flags }, context) {
    const size = quick ? QUICK : WHOLE;
    const { out = size.out, images = size.images } = flags;
    const { prompts = size.prompts, candidates = size.candidates } = flags;
    const paths = pathsIn(out);
    if (restart) await clear(out, Object.values(paths));
    const earlier = await readResult(out, { seed, images, quick });
    let result: DemoResult = earlier ?? {
      ...(quick && { quick, note: QUICK_NOTE }),
      seed,
      images,
      stages: {},
    };
    // Written at once, so that a demo of another size does not use the folder.
    if (!earlier) await writeResult(out, result);
    if (quick) context.progress.note(QUICK_NOTE);
    const stages = demoStages({
      out,
      seed,
      images,
      dvaeSet: [...size.dvaeSet, ...flags['dvae-set']],
      clipSet: [...size.clipSet, ...flags['clip-set']],
      dalleSet: [...size.dalleSet, ...flags['dalle-set']],
    });
    const announce = (i: number, text: string): void =>
      context.progress.note(`\n[${i + 1}/${stages.length + 1}] ${text}`);
    for (const [i, stage] of stages.entries()) {
      if (result.stages[stage.name]) continue;
      announce(i, `${stage.title}: mm ${stage.name}`);
      const start = performance.now();
      const isStarted = stage.resumes !== undefined && existsSync(stage.resumes);
      const reported = await reportOf(context, (inner) => stage.run(inner, isStarted));
      const seconds = (performance.now() - start) / 1000;
      result = { ...result, stages: { ...result.stages, [stage.name]: { ...reported, seconds } } };
      await writeResult(out, result);
    }
    announce(stages.length, 'sample held-out prompts');
    result = await sampleStage(out, result, { prompts, candidates, seed, temperature, guidance }, context);
    await writeResult(out, result);
    if (quick) context.print(QUICK_NOTE);
    context.json(result);
  },
});

interface SampleStageOptions {
  readonly prompts: number;
  readonly candidates: number;
  readonly seed: number;
  readonly temperature: number;
  readonly guidance: number;
}

/** Samples and judges held-out prompts, writes the grid and the page, and prints the results. */
async function sampleStage(
  out: string,
  before: DemoResult,
  { prompts, candidates, seed, temperature, guidance }: SampleStageOptions,
  context: Context,
): Promise<DemoResult> {
  const { sampleHeldOut, heldOutCounts, rankedCounts } = await import('./held-out.ts');
  const { percent, writeGrid, writePage } = await import('./page.ts');
  const { dalle, clip } = pathsIn(out);
  const start = performance.now();
  const settings = { temperature, guidance };
  const judged = await sampleHeldOut({ dalle, clip, prompts, candidates, seed, settings }, context);
  const heldOut: HeldOutCounts = heldOutCounts(judged);
  const ranked: HeldOutCounts = rankedCounts(judged);
  const seconds = (performance.now() - start) / 1000;
  const sample = { seconds, prompts: judged.length, candidates, settings };
  const result = { ...before, stages: { ...before.stages, sample }, heldOut, ranked };
  const grid = await writeGrid(out, judged);
  const page = await writePage(out, judged, result.stages, before.note);

  for (const [name, stage] of Object.entries(result.stages))
    context.print(`${name.padEnd(12)} ${stage.seconds.toFixed(0).padStart(5)} s`);
  for (const kind of ['scenes', 'pairs'] as const) {
    const [all, first] = [heldOut[kind], ranked[kind]];
    context.print(
      `held-out ${kind}: ${all.right} of ${all.samples} samples right (${percent(all)}); ` +
        `ranked by CLIP, the first of ${candidates}: ${first.right} of ${first.samples} (${percent(first)})`,
    );
  }
  context.print(`${grid}\n${page}`);
  return result;
}

/** Runs another command, and returns the numbers and texts of its JSON result. */
async function reportOf(
  context: Context,
  run: (inner: Context) => Promise<void>,
): Promise<Record<string, unknown>> {
  let reported: object = {};
  await run({
    ...context,
    json: (value) => {
      reported = value as object;
    },
    print: (line) => context.progress.note(line),
  });
  return Object.fromEntries(
    Object.entries(reported).filter(([, value]) => ['number', 'string'].includes(typeof value)),
  );
}
