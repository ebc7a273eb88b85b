import assert from 'node:assert/strict';
import { test } from 'node:test';
import yargs from 'yargs';
import { unshield, withTiedValues } from '../../../src/cli/given-flags.ts';
import { REPEATABLE, TEXT } from '../../../src/cli/help.ts';

/** What yargs reads of flags as those of `mm sample`. */
const read = async (...argv: string[]) =>
  yargs(withTiedValues(argv))
    .option('prompt', { ...REPEATABLE, alias: 'text' })
    .option('negative', TEXT)
    .option('temperature', { type: 'number' })
    .option('preview', { type: 'boolean' })
    .strict()
    .exitProcess(false)
    .fail((message, error) => {
      throw error ?? new Error(message);
    })
    .parseAsync();

test('a text that begins with a dash is the value of the flag before it', async () => {
  for (const text of [
    '-5 degrees in the snow',
    '-5°',
    '--5',
    '—',
    '-a cat=dog',
    '--a very dark forest',
    '-.',
    '-5',
  ]) {
    assert.deepEqual((await read('--prompt', text)).prompt, [text], text);
    assert.equal((await read('--negative', text)).negative, text, text);
  }
  const several = await read(
    '--text',
    '-5 degrees',
    '--prompt',
    'a cat',
    '--preview',
    '--prompt',
    '-6 degrees',
  );
  assert.deepEqual(several.prompt, ['-5 degrees', 'a cat', '-6 degrees']);
  assert.equal((await read('--temperature', '-1.5')).temperature, -1.5);
});

test('flags stay flags, and what follows -- stays as it is', async () => {
  await assert.rejects(read('--prompt', '--preview'));
  await assert.rejects(read('--prompt', 'a', '-x'), /x/);
  assert.deepEqual(withTiedValues(['--prompt', '--', '-5 degrees', '--a', '-5 b']), [
    '--prompt',
    '--',
    '-5 degrees',
    '--a',
    '-5 b',
  ]);
  assert.deepEqual(withTiedValues(['-5 degrees', '--seed=1', '-5 x', 'word', '-5 y']), [
    '-5 degrees',
    '--seed=1',
    '-5 x',
    'word',
    '-5 y',
  ]);
});

test('a dash alone is standard input, as a positional argument and as a value', async () => {
  const read = async (...argv: string[]): Promise<unknown> => {
    let images: unknown;
    await yargs(withTiedValues(argv))
      .command(
        'rank <images..>',
        'ranks',
        (y) =>
          y
            .positional('images', { type: 'string', array: true })
            .option('data', TEXT)
            .middleware(unshield, true),
        (flags) => {
          images = [flags.images, flags.data];
        },
      )
      .exitProcess(false)
      .parseAsync();
    return images;
  };
  assert.deepEqual(await read('rank', '-'), [['-'], undefined]);
  assert.deepEqual(await read('rank', 'a.png', '-::photos', '--data', '-'), [['a.png', '-::photos'], '-']);
});
