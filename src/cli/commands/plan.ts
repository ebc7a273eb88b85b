// mm plan: what a training configuration takes, from its graph alone.

import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { dalleSchema } from '../../config/dalle.ts';
import { dvaeSchema } from '../../config/dvae.ts';
import { loadConfig } from '../../config/load.ts';
import type { Plan } from '../../train/plan/plan.ts';
import { UsageError } from '../../util/errors.ts';
import { defineCommand } from '../command.ts';

const KINDS = ['dalle', 'dvae'] as const;
type Kind = (typeof KINDS)[number];

export const command = defineCommand({
  flags: (yargs) =>
    yargs
      .option('config', {
        type: 'string',
        requiresArg: true,
        demandOption: true,
        describe: 'YAML file of train-dalle or train-dvae',
      })
      .option('set', {
        type: 'string',
        array: true,
        nargs: 1,
        describe: 'path.to.key=value, over the file; repeatable',
      })
      .option('kind', {
        choices: KINDS,
        describe: 'what the file configures, where its model section does not show it',
      })
      .option('devices', {
        type: 'number',
        default: 1,
        requiresArg: true,
        describe: 'devices that share the weights and the batch',
      })
      .example('$0 plan --config configs/dalle/12b.yaml --devices 1024', 'the published model'),

  async run({ config: file, set, kind, devices }, { json, print }) {
    if (!Number.isInteger(devices) || devices < 1) {
      throw new UsageError(`--devices is a whole number from 1 on, and got ${devices}`, {
        where: '--devices',
      });
    }
    const { Runtime } = await import('../../engine/runtime.ts');
    const { plan } = await import('../../train/plan/plan.ts');
    const runtime = new Runtime();
    try {
      if ((kind ?? kindOf(file)) === 'dvae') {
        const config = loadConfig(dvaeSchema, { file, set, flags: {} });
        const { planDvae } = await import('../../train/plan/dvae.ts');
        const result = plan(planDvae(runtime, config), devices);
        print(describe(result).join('\n'));
        json(result);
        return;
      }
      const config = loadConfig(dalleSchema, { file, set, flags: {} });
      const { planDalle } = await import('../../train/plan/dalle.ts');
      const { recompute } = config.train;
      const result = plan(planDalle(runtime, config, recompute), devices);
      const other = plan(planDalle(runtime, config, !recompute), devices).memory.activations;
      const how = recompute ? 'kept' : 'computed again (train.recompute)';
      print([...describe(result), `  with activations ${how}: ${gigabytes(other)} of them`].join('\n'));
      json({ ...result, recompute, activationsOtherwise: other });
    } finally {
      await runtime.close();
    }
  },
});

/** Only a dVAE has pictures of a size in its model. */
function kindOf(file: string): Kind {
  let value: unknown;
  try {
    value = parse(readFileSync(file, 'utf8'));
  } catch {
    return 'dalle'; // loadConfig says what is wrong with the file.
  }
  const model = (value as { model?: object } | null)?.model;
  return model && 'imageSize' in model ? 'dvae' : 'dalle';
}

function describe({ kind, parameters, flopsPerStep, flopsPerRun, memory, ...rest }: Plan): string[] {
  const parts = Object.entries(parameters.parts).map(
    ([part, count]) => `  ${part}: ${count.toLocaleString('en')}`,
  );
  const frozen = parameters.total - parameters.trained;
  return [
    `${kind}: ${parameters.total.toLocaleString('en')} parameters${frozen > 0 ? `, ${frozen.toLocaleString('en')} of them frozen` : ''}`,
    ...parts,
    `${flopsPerStep.toExponential(3)} floating-point operations a step, ${flopsPerRun.toExponential(3)} a run`,
    `memory of each of ${rest.devices} devices, ${rest.examplesAtOnce} examples at once: ${gigabytes(memory.total)}`,
    ...(['weights', 'gradients', 'moments', 'average', 'activations'] as const).map(
      (name) => `  ${name}: ${gigabytes(memory[name])}`,
    ),
  ];
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toPrecision(3)} GB`;
