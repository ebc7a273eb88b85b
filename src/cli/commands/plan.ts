// mm plan: what a training configuration needs, from its graph alone.

import { readFileSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { parse } from 'yaml';
import { givenClipSchema } from '../../config/clip.ts';
import { givenDalleSchema } from '../../config/dalle.ts';
import { dvaeSchema } from '../../config/dvae.ts';
import { SHARDINGS } from '../../config/fields.ts';
import { kindOfConfig, MODEL_KINDS, type ModelKind } from '../../config/kind.ts';
import { loadConfig } from '../../config/load.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import type { PlannedModel, ResourcePlan, StepTime } from '../../train/plan/plan.ts';
import { InterruptedError } from '../../util/errors.ts';
import { type Context, defineCommand } from '../command.ts';
import { setFlag, TEXT, withExamples } from '../help.ts';
import { wholeNumber } from '../whole-number.ts';

export const command = defineCommand({
  flags: (yargs) =>
    withExamples(
      yargs
        .option('config', {
          ...TEXT,
          demandOption: true,
          describe: 'configuration of mm train-dalle, mm train-dvae or mm train-clip, a YAML file',
        })
        .option('set', setFlag)
        .option('kind', {
          choices: MODEL_KINDS,
          defaultDescription: 'by its `kind`, else by the keys of its model section',
          describe: 'model that the file configures',
        })
        .option('devices', {
          ...wholeNumber('devices'),
          default: 1,
          describe: 'devices that share the batch',
        })
        .option('sharding', {
          choices: SHARDINGS,
          defaultDescription: 'train.sharding',
          describe: 'what they divide besides the batch (ZeRO)',
        })
        .option('tera-flops', {
          ...wholeNumber('tera-flops'),
          describe: 'operations, in 10¹² a second, that a device reaches: for the time of a step',
        })
        .option('bandwidth', {
          ...wholeNumber('bandwidth'),
          describe: 'gigabits a second that a device sends: for the time of a step',
        }),
      [['the published model', 'plan --config configs/dalle/12b.yaml --devices 1024 --sharding parameters']],
    ),

  async run(
    { config: file, set, kind, devices, sharding, 'tera-flops': teraFlops, bandwidth },
    { json, print, log, signal },
  ) {
    const { Runtime } = await import('../../engine/session/runtime.ts');
    const { plan, stepTime } = await import('../../train/plan/plan.ts');
    const speed = {
      flops: teraFlops && teraFlops * 1e12,
      bandwidth: bandwidth && (bandwidth * 1e9) / BITS,
    };
    const runtime = new Runtime();
    try {
      const given = { file, set, flags: {} };
      const what = kind ?? kindOf(file);
      if (what !== 'dalle') {
        const result = plan(await planOther(what, runtime, given, log), devices, sharding);
        await throwIfAborted(signal);
        const time = stepTime(result, speed);
        print(describe(result, time).join('\n'));
        json({ ...result, secondsPerStep: time });
        return;
      }
      const { planDalle } = await import('../../train/plan/dalle.ts');
      const { plannedDalle } = await import('../../train/plan/parts.ts');
      const { config, assumed } = await plannedDalle(loadConfig(givenDalleSchema, given));
      for (const line of assumed) log.warn(line);
      const { recompute } = config.train;
      const isDivided = (sharding ?? config.train.sharding) === 'parameters' && devices > 1;
      const divided = isDivided ? new Runtime({ imagined: devices }) : undefined;
      const result = plan(planDalle(divided ?? runtime, config, recompute), devices, sharding);
      await divided?.close();
      await throwIfAborted(signal);
      const other = plan(planDalle(runtime, config, !recompute), devices).memory.activations;
      await throwIfAborted(signal);
      const how = recompute ? 'kept' : 'recomputed (train.recompute)';
      const time = stepTime(result, speed);
      print([...describe(result, time), `  activations if ${how}: ${gigabytes(other)}`].join('\n'));
      json({ ...result, recompute, activationsOtherwise: other, secondsPerStep: time });
    } finally {
      await runtime.close();
    }
  },
});

/** A graph is built in one synchronous call: Ctrl-C is noticed between two of them. */
async function throwIfAborted(signal: AbortSignal): Promise<void> {
  await setImmediate();
  if (signal.aborted) {
    throw new InterruptedError('stopped; mm plan writes no file', { code: 'E_INTERRUPTED' });
  }
}

async function planOther(
  kind: Exclude<ModelKind, 'dalle'>,
  runtime: Runtime,
  given: Parameters<typeof loadConfig>[1],
  log: Context['log'],
): Promise<PlannedModel> {
  if (kind === 'dvae') {
    const { planDvae } = await import('../../train/plan/dvae.ts');
    return planDvae(runtime, loadConfig(dvaeSchema, given));
  }
  const { planClip } = await import('../../train/plan/clip.ts');
  const { plannedClip } = await import('../../train/plan/parts.ts');
  const { config, assumed } = await plannedClip(loadConfig(givenClipSchema, given));
  for (const line of assumed) log.warn(line);
  return planClip(runtime, config);
}

function kindOf(file: string): ModelKind {
  try {
    return kindOfConfig(parse(readFileSync(file, 'utf8')));
  } catch {
    return 'dalle'; // loadConfig reports what is wrong with the file.
  }
}

function describe(
  { kind, parameters, flopsPerStep, flopsPerRun, memory, ...rest }: ResourcePlan,
  time: StepTime,
): string[] {
  const parts = Object.entries(parameters.parts).map(
    ([part, count]) => `  ${part}: ${count.toLocaleString('en')}`,
  );
  const frozen = parameters.total - parameters.trained;
  return [
    `${kind}: ${parameters.total.toLocaleString('en')} parameters${frozen > 0 ? `, ${frozen.toLocaleString('en')} of them frozen` : ''}`,
    ...parts,
    `${flopsPerStep.toExponential(3)} floating-point operations a step, ${flopsPerRun.toExponential(3)} a run`,
    ...(rest.devices > 1 ? [`${gigabytes(rest.sentPerStep)} sent by each device a step`] : []),
    ...(time.compute === undefined ? [] : [`${seconds(time.compute)} of computing a step`]),
    ...(time.exchange === undefined ? [] : [`${seconds(time.exchange)} of exchanging a step`]),
    `memory of ${rest.devices > 1 ? `each of ${rest.devices} devices, sharding ${rest.sharding}, ` : ''}${rest.examplesAtOnce} examples at once: ${gigabytes(memory.total)}`,
    ...(['weights', 'gradients', 'moments', 'ema', 'exchange', 'activations'] as const).map(
      (name) => `  ${name}: ${gigabytes(memory[name])}`,
    ),
  ];
}

/** Of a byte. */
const BITS = 8;

const seconds = (value: number): string => `${value.toPrecision(3)} seconds`;

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toPrecision(3)} GB`;
