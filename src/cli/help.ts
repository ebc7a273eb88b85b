// What the help of commands has in common.

import type { Argv } from 'yargs';

/**
 * Examples at the end of a command's help: a comment that says what it does, and the command line below it, unbroken, so
 * that it can be copied.
 * @param examples pairs of what it does and the command line without `mm`
 */
export function withExamples<T>(
  yargs: Argv<T>,
  examples: readonly (readonly [does: string, commandLine: string])[],
): Argv<T> {
  for (const [does, commandLine] of examples) yargs.example(`# ${does}\n$0 ${commandLine}`, '');
  return yargs;
}

/** A text that may be given several times. */
export const REPEATABLE = { type: 'string', array: true, nargs: 1 } as const;

/** A text, which has to be there when the flag is. */
export const TEXT = { type: 'string', requiresArg: true } as const;

/** A number, which has to be there when the flag is. */
export const NUMBER = { type: 'number', requiresArg: true } as const;

/** `--set` of the commands that read a configuration. */
export const setFlag = {
  ...REPEATABLE,
  describe: 'path.to.key=value: sets a key of the configuration, overriding --config; repeatable',
} as const;

/** `--devices`. @param what the devices share */
export const deviceFlag = (what: string) =>
  ({
    ...TEXT,
    defaultDescription: 'one',
    describe: `devices that share ${what}: all, GPUs such as 0,1, or CPU devices such as cpu:0,cpu:1`,
  }) as const;

/** `--dvae` of the commands that use a trained one. */
export const dvaeFlag = {
  ...TEXT,
  alias: ['vae_path', 'vqgan_model_path'],
  describe: 'dVAE: a checkpoint, a run of mm train-dvae, or what mm convert wrote',
} as const;
