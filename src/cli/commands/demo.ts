// mm demo: the whole main job. Draws captioned shapes, trains everything on them, and samples what was held out.

import { existsSync } from 'node:fs';
import { UsageError } from '../../util/errors.ts';
import { type Context, defineCommand } from '../command.ts';
import { clear, type DemoResult, readResult, writeResult } from './demo/progress-file.ts';
import { QUICK, QUICK_NOTE, WHOLE } from './demo/size.ts';
import { demoStages, places } from './demo/stages.ts';

export const command = defineCommand({
  flags: (yargs) =>
    yargs
      .option('out', {
        type: 'string',
        requiresArg: true,
        describe: `folder for everything, by default ${WHOLE.out}, or ${QUICK.out} with --quick; an interrupted demo goes on in it`,
      })
      .option('quick', {
        type: 'boolean',
        default: false,
        describe: 'a try of about two minutes: fewer images, less training, rough results',
      })
      .option('seed', { type: 'number', default: 0, describe: 'of the data, the models and the samples' })
      .option('images', { type: 'number', describe: sized('captioned images to draw', 'images') })
      .option('prompts', {
        type: 'number',
        describe: sized('held-out scenes to draw, and as many held-out pairs', 'prompts'),
      })
      .option('candidates', {
        type: 'number',
        describe: sized('samples of each prompt, among which CLIP chooses', 'candidates'),
      })
      .option('temperature', { type: 'number', default: 0.4, describe: 'of the samples' })
      .option('guidance', { type: 'number', default: 1.5, describe: 'of the samples; 1 is none' })
      .option('dvae-set', {
        type: 'string',
        array: true,
        nargs: 1,
        default: [] as string[],
        describe: 'path.to.key=value over configs/dvae/demo.yaml; repeatable',
      })
      .option('clip-set', {
        type: 'string',
        array: true,
        nargs: 1,
        default: [] as string[],
        describe: 'path.to.key=value over configs/clip/demo.yaml; repeatable',
      })
      .option('dalle-set', {
        type: 'string',
        array: true,
        nargs: 1,
        default: [] as string[],
        describe: 'path.to.key=value over configs/dalle/demo.yaml; repeatable',
      })
      .option('restart', {
        type: 'boolean',
        default: false,
        describe: 'begin anew, whatever is in the folder',
      })
      .example('$0 demo', 'about a quarter of an hour on two cores')
      .example('$0 demo --quick', 'about two minutes, for trying whether everything works'),

  async run({ quick, seed, temperature, guidance, restart, ...flags }, context) {
    const size = quick ? QUICK : WHOLE;
    const { out = size.out, images = size.images } = flags;
    const { prompts = size.prompts, candidates = size.candidates } = flags;
    checkCounts({ prompts, candidates });
    const at = places(out);
    if (restart) await clear(out, Object.values(at));
    const earlier = await readResult(out, { seed, images, quick });
    let result: DemoResult = earlier ?? {
      ...(quick && { quick, note: QUICK_NOTE }),
      seed,
      images,
      stages: {},
    };
    // At once, so that no other demo takes the folder for its own.
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
    for (const [i, stage] of stages.entries()) {
      if (result.stages[stage.name]) continue;
      context.progress.note(`\n[${i + 1}/${stages.length + 1}] ${stage.title}: mm ${stage.name}`);
      const began = performance.now();
      const resume =
        {
          'train-dvae': existsSync(at.dvae),
          tokenize: existsSync(at.tokens),
          'train-clip': existsSync(at.clip),
          'train-dalle': existsSync(at.dalle),
        }[stage.name] ?? false;
      const reported = await captured(context, (inner) => stage.run(inner, resume));
      result = {
        ...result,
        stages: {
          ...result.stages,
          [stage.name]: { ...reported, seconds: (performance.now() - began) / 1000 },
        },
      };
      await writeResult(out, result);
    }

    context.progress.note(
      `\n[${stages.length + 1}/${stages.length + 1}] sample prompts that nobody trained on`,
    );
    const began = performance.now();
    const { sampleHeldOut, heldOutFigures, rankedFigures } = await import('./demo/held-out.ts');
    const { percent, writeGrid, writePage } = await import('./demo/page.ts');
    const settings = { temperature, guidance };
    const judged = await sampleHeldOut(
      { dalle: at.dalle, clip: at.clip, prompts, candidates, seed, settings },
      context,
    );
    const heldOut = heldOutFigures(judged);
    const ranked = rankedFigures(judged);
    const seconds = (performance.now() - began) / 1000;
    const sample = { seconds, prompts: judged.length, candidates, settings };
    result = { ...result, stages: { ...result.stages, sample }, heldOut, ranked };
    const grid = await writeGrid(out, judged);
    const page = await writePage(out, judged, result.stages, quick ? QUICK_NOTE : undefined);
    await writeResult(out, result);

    for (const [name, stage] of Object.entries(result.stages))
      context.print(`${name.padEnd(12)} ${stage.seconds.toFixed(0).padStart(5)} s`);
    for (const [kind, all] of Object.entries(heldOut)) {
      const first = ranked[kind as keyof typeof ranked];
      context.print(
        `held-out ${kind}: ${all.right} of ${all.samples} samples right (${percent(all)}); ` +
          `ranked by CLIP, the first of ${candidates}: ${first.right} of ${first.samples} (${percent(first)})`,
      );
    }
    context.print(`${grid}\n${page}`);
    if (quick) context.print(QUICK_NOTE);
    context.json(result);
  },
});

/** A flag's description with its default in each size. */
function sized(text: string, key: 'images' | 'prompts' | 'candidates'): string {
  return `${text}: ${WHOLE[key]}, or ${QUICK[key]} with --quick`;
}

function checkCounts(counts: Readonly<Record<string, number>>): void {
  for (const [flag, value] of Object.entries(counts)) {
    if (Number.isInteger(value) && value > 0) continue;
    throw new UsageError(`--${flag} is a whole number from 1 on, and got ${value}`, {
      where: `--${flag}`,
      fix: 'leave it out',
    });
  }
}

/** Runs a command of its own and gives what it reports to programs. */
async function captured(
  context: Context,
  run: (inner: Context) => Promise<void>,
): Promise<Record<string, unknown>> {
  let reported: unknown;
  await run({
    ...context,
    json: (value) => {
      reported = value;
    },
    print: (line) => context.progress.note(line),
  });
  return summary(reported as Record<string, unknown>);
}

/** The figures of a report; the lists in it are left to the files they describe. */
function summary(report: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(report ?? {}).filter(([, value]) => ['number', 'string'].includes(typeof value)),
  );
}
