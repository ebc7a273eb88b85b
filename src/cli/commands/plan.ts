// mm plan: what a training configuration needs, from its graph alone.

import { readFileSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { parse } from 'yaml';
import { givenClipSchema } from '../../config/clip.ts';
import { givenDalleSchema } from '../../config/dalle.ts';
import { dvaeSchema } from '../../config/dvae.ts';
import { RECOMPUTES, type Recompute, SHARDINGS, type Sharding } from '../../config/fields.ts';
import { kindOfConfig, MODEL_KINDS, type ModelKind } from '../../config/kind.ts';
import { loadConfig } from '../../config/load.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import type { PlannedModel, ResourcePlan, StepTime } from '../../train/plan/plan.ts';
import { counted } from '../../util/counted.ts';
import { InterruptedError } from '../../util/errors.ts';
import { machineMemory } from '../../util/machine-memory.ts';
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
        .option('memory', {
          ...wholeNumber('memory'),
          defaultDescription: "this machine's",
          describe: 'gigabytes that a device has: for what a run takes as train.recompute',
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
    { config: file, set, kind, devices, sharding: given, memory, 'tera-flops': teraFlops, bandwidth },
    { json, print, log, signal },
  ) {
    const { Runtime } = await import('../../engine/session/runtime.ts');
    const { plan, stepTime } = await import('../../train/plan/plan.ts');
    const { fastestThatFits } = await import('../../train/plan/recompute.ts');
    const speed = {
      flops: teraFlops && teraFlops * 1e12,
      bandwidth: bandwidth && (bandwidth * GIGA) / BITS,
    };
    const plannable = await plannableOf(kind ?? kindOf(file), { file, set, flags: {} }, log);
    const sharding = given ?? plannable.sharding;
    const runtime = new Runtime(sharding === 'parameters' ? { imagined: devices } : {});
    try {
      const plans = new Map<Recompute, ResourcePlan>();
      const choices = plannable.choices(sharding, devices);
      for (const recompute of choices.length === 1 ? choices : RECOMPUTES) {
        plans.set(recompute, plan(plannable.with(runtime, recompute), devices, sharding));
        await throwIfAborted(signal);
      }
      const planOf = (recompute: Recompute) => plans.get(recompute) as ResourcePlan;
      const bytes = memory === undefined ? (runtime.gpuMemory ?? machineMemory()) : memory * GIGA;
      const fastest = fastestThatFits(choices, (way) => planOf(way).memory.total, bytes);
      const recompute = plannable.recompute && plans.has(plannable.recompute) ? plannable.recompute : fastest;
      const result = planOf(recompute);
      const time = stepTime(result, speed);
      const totals = Object.fromEntries([...plans].map(([way, { memory }]) => [way, memory.total]));
      const choice = { recompute, memoryByRecompute: totals, deviceMemory: bytes, fastestThatFits: fastest };
      const hasNoChoice = plannable.choices === NO_CHOICE;
      print([...describe(result, time), ...(hasNoChoice ? [] : [describeChoice(choice)])].join('\n'));
      json({ ...result, ...(hasNoChoice ? {} : choice), secondsPerStep: time });
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

/** A configuration that can be planned with each way to recompute activations. */
interface Plannable {
  readonly sharding: Sharding;
  /** `train.recompute`. */
  readonly recompute?: Recompute | undefined;
  /** Those that a run takes without it, from the fastest on. */
  readonly choices: (sharding: Sharding, devices: number) => readonly Recompute[];
  readonly with: (runtime: Runtime, recompute: Recompute) => PlannedModel;
}

/** A dVAE keeps all activations. */
const NO_CHOICE: Plannable['choices'] = () => ['none'];

async function plannableOf(
  kind: ModelKind,
  given: Parameters<typeof loadConfig>[1],
  log: Context['log'],
): Promise<Plannable> {
  if (kind === 'dvae') {
    const { planDvae } = await import('../../train/plan/dvae.ts');
    const config = loadConfig(dvaeSchema, given);
    const { sharding } = config.train;
    return { sharding, choices: NO_CHOICE, with: (runtime) => planDvae(runtime, config) };
  }
  const { plannedClip, plannedDalle } = await import('../../train/plan/parts.ts');
  const { choicesOf } = await import('../../train/plan/recompute.ts');
  const choices: Plannable['choices'] = (...divided) => choicesOf(kind, ...divided);
  if (kind === 'clip') {
    const { planClip } = await import('../../train/plan/clip.ts');
    const { config, assumed } = await plannedClip(loadConfig(givenClipSchema, given));
    for (const line of assumed) log.warn(line);
    return { ...config.train, choices, with: (r, way) => planClip(r, config, way) };
  }
  const { planDalle } = await import('../../train/plan/dalle.ts');
  const { config, assumed } = await plannedDalle(loadConfig(givenDalleSchema, given));
  for (const line of assumed) log.warn(line);
  return { ...config.train, choices, with: (r, way) => planDalle(r, config, way) };
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
    `memory of ${rest.devices > 1 ? `each of ${rest.devices} devices, sharding ${rest.sharding}, ` : ''}${counted(rest.examplesAtOnce, 'example')} at once: ${gigabytes(memory.total)}`,
    ...(['weights', 'gradients', 'moments', 'ema', 'exchange', 'activations'] as const).map(
      (name) => `  ${name}: ${gigabytes(memory[name])}`,
    ),
  ];
}

/** Memory by `train.recompute`, and what a run takes that is not told. */
function describeChoice({
  memoryByRecompute,
  deviceMemory,
  fastestThatFits,
}: {
  readonly memoryByRecompute: Readonly<Record<string, number>>;
  readonly deviceMemory: number;
  readonly fastestThatFits: Recompute;
}): string {
  const each = Object.entries(memoryByRecompute).map(([way, bytes]) => `${way} ${gigabytes(bytes)}`);
  return `by train.recompute: ${each.join(', ')}; without it, ${fastestThatFits} with ${gigabytes(deviceMemory)} a device`;
}

/** Of a byte. */
const BITS = 8;
const GIGA = 1e9;

const seconds = (value: number): string => `${value.toPrecision(3)} seconds`;

const gigabytes = (bytes: number): string => `${(bytes / GIGA).toPrecision(3)} GB`;
