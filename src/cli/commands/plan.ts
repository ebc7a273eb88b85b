// mm plan: what a training configuration takes, from its graph alone.

import { readFileSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { parse } from 'yaml';
import { clipSchema } from '../../config/clip.ts';
import { dalleSchema } from '../../config/dalle.ts';
import { dvaeSchema } from '../../config/dvae.ts';
import { kindOfConfig, MODEL_KINDS, type ModelKind } from '../../config/kind.ts';
import { loadConfig } from '../../config/load.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import type { PlannedModel, ResourcePlan } from '../../train/plan/plan.ts';
import { InterruptedError, UsageError } from '../../util/errors.ts';
import { defineCommand } from '../command.ts';

export const command = defineCommand({
  flags: (yargs) =>
    yargs
      .option('config', {
        type: 'string',
        requiresArg: true,
        demandOption: true,
        describe: 'YAML file of train-dalle, train-dvae or train-clip',
      })
      .option('set', {
        type: 'string',
        array: true,
        nargs: 1,
        describe: 'path.to.key=value, over the file; repeatable',
      })
      .option('kind', {
        choices: MODEL_KINDS,
        describe: 'what the file configures, where its model section does not show it',
      })
      .option('devices', {
        type: 'number',
        default: 1,
        requiresArg: true,
        describe: 'devices that share the weights and the batch',
      })
      .example('$0 plan --config configs/dalle/12b.yaml --devices 1024', 'the published model'),

  async run({ config: file, set, kind, devices }, { json, print, signal }) {
    if (!Number.isInteger(devices) || devices < 1) {
      throw new UsageError(`--devices is a whole number from 1 on, and got ${devices}`, {
        where: '--devices',
      });
    }
    const { Runtime } = await import('../../engine/session/runtime.ts');
    const { plan } = await import('../../train/plan/plan.ts');
    const runtime = new Runtime();
    try {
      const given = { file, set, flags: {} };
      const what = kind ?? kindOf(file);
      if (what !== 'dalle') {
        const result = plan(await planOther(what, runtime, given), devices);
        await throwIfAborted(signal);
        print(describe(result).join('\n'));
        json(result);
        return;
      }
      const config = loadConfig(dalleSchema, given);
      const { planDalle } = await import('../../train/plan/dalle.ts');
      const { recompute } = config.train;
      const result = plan(planDalle(runtime, config, recompute), devices);
      await throwIfAborted(signal);
      const other = plan(planDalle(runtime, config, !recompute), devices).memory.activations;
      await throwIfAborted(signal);
      const how = recompute ? 'kept' : 'computed again (train.recompute)';
      print([...describe(result), `  with activations ${how}: ${gigabytes(other)} of them`].join('\n'));
      json({ ...result, recompute, activationsOtherwise: other });
    } finally {
      await runtime.close();
    }
  },
});

/** Graphs are built in one go: Ctrl-C is seen between them. */
async function throwIfAborted(signal: AbortSignal): Promise<void> {
  await setImmediate();
  if (signal.aborted) throw new InterruptedError('stopped; a plan writes nothing');
}

async function planOther(
  kind: Exclude<ModelKind, 'dalle'>,
  runtime: Runtime,
  given: Parameters<typeof loadConfig>[1],
): Promise<PlannedModel> {
  if (kind === 'dvae') {
    const { planDvae } = await import('../../train/plan/dvae.ts');
    return planDvae(runtime, loadConfig(dvaeSchema, given));
  }
  const { planClip } = await import('../../train/plan/clip.ts');
  return planClip(runtime, loadConfig(clipSchema, given));
}

function kindOf(file: string): ModelKind {
  try {
    return kindOfConfig(parse(readFileSync(file, 'utf8')));
  } catch {
    return 'dalle'; // loadConfig says what is wrong with the file.
  }
}

function describe({ kind, parameters, flopsPerStep, flopsPerRun, memory, ...rest }: ResourcePlan): string[] {
  const parts = Object.entries(parameters.parts).map(
    ([part, count]) => `  ${part}: ${count.toLocaleString('en')}`,
  );
  const frozen = parameters.total - parameters.trained;
  return [
    `${kind}: ${parameters.total.toLocaleString('en')} parameters${frozen > 0 ? `, ${frozen.toLocaleString('en')} of them frozen` : ''}`,
    ...parts,
    `${flopsPerStep.toExponential(3)} floating-point operations a step, ${flopsPerRun.toExponential(3)} a run`,
    `memory of each of ${rest.devices} devices, ${rest.examplesAtOnce} examples at once: ${gigabytes(memory.total)}`,
    ...(['weights', 'gradients', 'moments', 'ema', 'activations'] as const).map(
      (name) => `  ${name}: ${gigabytes(memory[name])}`,
    ),
  ];
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toPrecision(3)} GB`;
