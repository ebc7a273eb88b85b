// The flags of the commands that read a source of images: how its tables are read, and how much of it may be at fault.

import type { Argv } from 'yargs';
import { parseShare } from '../config/share.ts';
import type { Faults } from '../data/sources/faults.ts';
import type { TableOptions } from '../data/sources/source.ts';
import { UsageError, type UserError } from '../util/errors.ts';
import type { Context } from './command.ts';
import { TEXT } from './help.ts';
import { InvalidValue } from './whole-number.ts';

export interface SourceFlags {
  'max-bad': number | undefined;
  'image-column': string | undefined;
  'caption-column': string | undefined;
  separator: string | undefined;
}

export function sourceFlags<T>(yargs: Argv<T>) {
  return yargs
    .option('max-bad', {
      ...TEXT,
      defaultDescription: 'half of what was tried',
      coerce: toShare,
      describe: 'largest share of the data that may be left out as unusable, such as 1%; more is an error',
    })
    .option('image-column', {
      ...TEXT,
      alias: 'csv-img-key',
      defaultDescription: 'found by its name',
      describe: 'column of a table, or key of a JSON record, with the path of the image',
    })
    .option('caption-column', {
      ...TEXT,
      alias: 'csv-caption-key',
      defaultDescription: 'found by its name',
      describe: 'column or key with the caption',
    })
    .option('separator', {
      ...TEXT,
      alias: 'csv-separator',
      defaultDescription: 'found by looking',
      describe: 'character between the cells of a table; \\t is a tab',
    });
}

/** A share as a number, or what stands for its error (whole-number.ts). */
function toShare(value: string): number {
  if (value === undefined || Array.isArray(value)) return value as unknown as number;
  const share = parseShare(value);
  if (share !== undefined) return share;
  const error = new UsageError(`\`maxBad\` is a share; received ${value}`, {
    code: 'E_OPTION_VALUE',
    option: 'maxBad',
    fix: 'give a percentage, such as 1%, or a number from 0 to 1',
  });
  return new InvalidValue(error as UserError) as unknown as number;
}

/** What collects the findings of a command. */
export async function openFaults(flags: SourceFlags, { log }: Pick<Context, 'log'>): Promise<Faults> {
  const { Faults } = await import('../data/sources/faults.ts');
  return new Faults(log, { maxBad: flags['max-bad'] });
}

/** How tables are read, as the flags say. */
export const tableOptions = (flags: SourceFlags): TableOptions => ({
  imageColumn: flags['image-column'],
  captionColumn: flags['caption-column'],
  separator: separatorOf(flags.separator),
});

const separatorOf = (flag: string | undefined): string | undefined => (flag === '\\t' ? '\t' : flag);

/** The flags of the commands that train, beside `--data`. */
export function trainingSourceFlags<T>(yargs: Argv<T>) {
  return sourceFlags(yargs)
    .option('val-data', {
      ...TEXT,
      alias: 'validation-data',
      describe:
        'source of the validation examples, instead of a share of --data; overrides data.validationPath',
    })
    .option('data-weights', {
      ...TEXT,
      alias: 'train-data-upsampling-factors',
      describe:
        'times that an epoch has each image of the sources that --data joins by ::, such as 2::1; overrides data.weights',
    });
}

/** The flags as the configuration keys that they override. */
export const trainingSourceOverrides = (
  flags: SourceFlags & { 'val-data'?: string | undefined; 'data-weights'?: string | undefined },
): Readonly<Record<string, unknown>> => ({
  'data.validationPath': flags['val-data'],
  'data.weights': flags['data-weights']?.split(/::|,/).map(Number),
  'data.maxBad': flags['max-bad'],
  'data.table.imageColumn': flags['image-column'],
  'data.table.captionColumn': flags['caption-column'],
  'data.table.separator': separatorOf(flags.separator),
});
