// mm train-dalle: trains the joint text–image Transformer.

import { givenDalleSchema } from '../../config/dalle.ts';
import { SOURCES } from '../../data/sources/source.ts';
import { UsageError } from '../../util/errors.ts';
import { dvaeFlag, TEXT, withExamples } from '../help.ts';
import { trainingSourceFlags, trainingSourceOverrides } from '../source-flags.ts';
import { trainingCommand, truncateFlag } from '../training-command.ts';

export const command = trainingCommand({
  schema: givenDalleSchema,
  defaultRun: 'runs/dalle',
  flags: (yargs) =>
    withExamples(
      trainingSourceFlags(yargs)
        .option('data', {
          ...TEXT,
          alias: 'image_text_folder',
          describe: `training images with captions: ${SOURCES}; overrides data.path and data.tokens`,
        })
        .option('tokens', {
          ...TEXT,
          describe: 'token shards of mm tokenize, instead of --data; overrides data.path and data.tokens',
        })
        .option('dvae', { ...dvaeFlag, describe: `${dvaeFlag.describe}; overrides data.dvae` })
        .option('taming', {
          type: 'boolean',
          describe: 'the dVAE has to be a VQGAN; overrides data.dvaeArchitecture',
        })
        .option('vqgan-config-path', {
          ...TEXT,
          alias: 'vqgan_config_path',
          describe: "a VQGAN's model.yaml: refused with the mm convert that reads it",
        })
        .option('tokenizer', {
          ...TEXT,
          describe: 'tokenizer, of any kind: see docs/FORMATS.md; overrides data.tokenizer',
        })
        .option('init-from', {
          ...TEXT,
          alias: ['from', 'dalle_path'],
          describe: 'checkpoint or run that gives a new run its first weights; overrides train.initFrom',
        })
        .option('truncate', truncateFlag)
        .conflicts('data', 'tokens'),
      [
        [
          'images and captions',
          'train-dalle --config configs/dalle/small.yaml --data photos --dvae runs/dvae',
        ],
        [
          'tokens made before by mm tokenize',
          'train-dalle --config configs/dalle/small.yaml --tokens tokens --dvae runs/dvae',
        ],
        [
          'the second of two machines; the first, 10.0.0.1, has --rank 0',
          'train-dalle --config configs/dalle/small.yaml --workers 2 --rank 1 --join 10.0.0.1:29500',
        ],
      ],
    ),
  overrides: ({ data, tokens, dvae, tokenizer, 'init-from': initFrom, truncate, taming, ...flags }) => {
    assertNoModelYaml(flags['vqgan-config-path'], dvae);
    return {
      // Either of the two removes both from the file.
      'data.path': tokens === undefined ? data : null,
      'data.tokens': data === undefined ? tokens : null,
      'data.dvae': dvae,
      'data.dvaeArchitecture': taming ? 'vqgan' : undefined,
      'data.tokenizer': tokenizer,
      'data.truncateCaptions': truncate,
      'train.initFrom': initFrom,
      ...trainingSourceOverrides(flags),
    };
  },
  train: async (config, context) => (await import('../../train/dalle/train.ts')).trainDalle(config, context),
});

/** DALLE-pytorch builds a VQGAN from its YAML file at each start; here mm convert does it once. */
function assertNoModelYaml(yaml: string | undefined, weights = 'last.ckpt'): void {
  if (yaml === undefined) return;
  throw new UsageError('a VQGAN is converted once, before it is used', {
    code: 'E_NOT_CONVERTED',
    option: 'dvae',
    where: yaml,
    fix: `mm convert ${weights} --config ${yaml} --to dvae, and then --dvae dvae instead of these two flags`,
  });
}
