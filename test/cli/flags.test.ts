// What is the same for every command's flags.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isGroup, REGISTRY } from '../../src/cli/registry.ts';
import { EXIT } from '../../src/util/errors.ts';
import { mm } from '../support/mm.ts';
import { type Refusal, testRefusals } from '../support/refusal.ts';

/** Every command line's beginning, with words for its positionals. */
const commands = REGISTRY.flatMap((entry) =>
  (isGroup(entry)
    ? entry.actions.map((action) => ({ ...action, name: `${entry.name} ${action.name}` }))
    : [entry]
  ).map(({ name, positionals = '' }) => [...name.split(' '), ...(positionals === '' ? [] : ['here'])]),
);
const refusal = (flags: readonly string[], ...says: RegExp[]): Refusal => ({ flags, code: EXIT.usage, says });

describe('an unknown flag names the nearest known one', () => {
  testRefusals(
    Object.fromEntries(
      commands.map((command) => [
        `of mm ${command.join(' ')}`,
        refusal([...command, '--qiuet'], /there is no flag --qiuet\n/, /did you mean --quiet\?/),
      ]),
    ),
  );
  testRefusals({
    'that has dashes, once': refusal(
      ['sample', '--batch-sise', '4'],
      /at: {2}--batch-sise\n/,
      /mean --batch-size\?/,
    ),
    'with its value behind =': refusal(
      ['sample', '--temprature=2'],
      /there is no flag --temprature\n/,
      /--temperature\?/,
    ),
    'by its other name': refusal(['sample', '--num_image', '2'], /mean --num_images\?/),
    'where there is none near': refusal(
      ['sample', '--xylophone', '1'],
      /there is no flag --xylophone/,
      /--help/,
    ),
    'and other ones beside it': refusal(
      ['sample', '--sed', '1', '--clop', 'x'],
      /at: {2}--sed --clop/,
      /--seed\?/,
    ),
    'though it must be there': refusal(
      ['train-bpe', '--dta', 'photos', '--out', 'x'],
      /there is no flag --dta\n/,
      /mean --data\?/,
    ),
    'but a word that is no flag is called one': refusal(
      ['sample', '--dalle', 'x', '--prompt', 'a', 'red', 'circle'],
      /nothing is expected where "red" stands/,
      /quotes/,
    ),
  });
});

describe('a flag that says one thing and is given twice is refused', () => {
  testRefusals(
    Object.fromEntries(
      commands.map((command) => [
        `by mm ${command.join(' ')}`,
        refusal(
          [...command, '--log-level', 'warn', '--log-level', 'error'],
          /--log-level/,
          /given 2 times|[Ii]nvalid/,
        ),
      ]),
    ),
  );
  testRefusals({
    'a number': refusal(
      ['sample', '--dalle', 'x', '--prompt', 'a', '--seed', '1', '--seed', '2'],
      /--seed is given 2 times: 1, 2/,
      /fix: give it once/,
    ),
    'a text, by two names': refusal(
      ['sample', '--prompt', 'a', '--dalle', 'x', '--dalle_path', 'y'],
      /--dalle is given 2 times: x, y/,
    ),
  });

  test('one that may be repeated is not, nor a switch', async () => {
    const { stderr } = await mm([
      'sample',
      '--dalle',
      'missing',
      '--prompt',
      'a',
      '--prompt',
      'b',
      '--json',
      '--json',
    ]);
    assert.match(stderr, /^error: there is no such checkpoint/);
  });
});
