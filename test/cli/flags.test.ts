// What is the same for the flags of every command.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isGroup, REGISTRY } from '../../src/cli/registry.ts';
import { EXIT } from '../../src/util/errors.ts';
import { mmTogether } from '../support/mm-each.ts';
import { type Refusal, testRefusals } from '../support/refusal.ts';

const mm = mmTogether();

/** Every command, with a word for its positionals. */
const commands = REGISTRY.flatMap((entry) =>
  (isGroup(entry)
    ? entry.actions.map((action) => ({ ...action, name: `${entry.name} ${action.name}` }))
    : [entry]
  ).map(({ name, positionals = '' }) => [...name.split(' '), ...(positionals === '' ? [] : ['here'])]),
);
const refusal = (
  code: Refusal['code'],
  at: string,
  flags: readonly string[],
  ...says: RegExp[]
): Refusal => ({
  flags,
  exit: EXIT.usage,
  code,
  at,
  says,
});

describe('an unknown flag is refused with the closest known one', () => {
  const unknown = (at: string, flags: readonly string[], ...says: RegExp[]): Refusal =>
    refusal('E_FLAG_UNKNOWN', at, flags, ...says);
  testRefusals(
    Object.fromEntries(
      commands.map((command) => [
        `of mm ${command.join(' ')}`,
        unknown('--qiuet', [...command, '--qiuet'], /--quiet\?/),
      ]),
    ),
  );
  testRefusals({
    'that has dashes, once': unknown('--batch-sise', ['sample', '--batch-sise', '4'], /--batch-size\?/),
    'with its value behind =': unknown('--temprature', ['sample', '--temprature=2'], /--temperature\?/),
    'by its other name': unknown('--num_image', ['sample', '--num_image', '2'], /--num_images\?/),
    'where there is none near': unknown('--xylophone', ['sample', '--xylophone', '1'], /mm sample --help/),
    'and other ones beside it': unknown('--sed --clop', ['sample', '--sed', '1', '--clop', 'x'], /--seed\?/),
    'though it is required': unknown('--dta', ['train-bpe', '--dta', 'photos', '--out', 'x'], /--data\?/),
  });
});

describe('a flag that takes one value is refused when it is given twice', () => {
  testRefusals(
    Object.fromEntries(
      commands.map((command) => [
        `by mm ${command.join(' ')}`,
        refusal('E_FLAG_REPEATED', '--log-level', [
          ...[...command, '--log-level', 'warn', '--log-level', 'error'],
        ]),
      ]),
    ),
  );
  testRefusals({
    'a number': refusal(
      'E_FLAG_REPEATED',
      '--seed',
      ['sample', '--dalle', 'x', '--prompt', 'a', '--seed', '1', '--seed', '2'],
      /1, 2/,
    ),
    'a text, by two names': refusal(
      'E_FLAG_REPEATED',
      '--dalle',
      ['sample', '--prompt', 'a', '--dalle', 'x', '--dalle_path', 'y'],
      /x, y/,
    ),
  });

  test('a repeatable flag and a switch may be given twice', async () => {
    const flags = ['sample', '--dalle', 'missing', '--prompt', 'a', '--prompt', 'b', '--json', '--json'];
    const { stderr } = await mm(flags);
    assert.match(stderr, / {2}code: E_CHECKPOINT_NOT_FOUND\n$/);
  });
});

describe('a command line that is wrong otherwise is refused', () => {
  testRefusals({
    'without a command': {
      flags: [],
      exit: EXIT.usage,
      code: 'E_COMMAND_MISSING',
      says: [/mm --help/],
    },
    'with an unknown command': {
      flags: ['smaple'],
      exit: EXIT.usage,
      code: 'E_COMMAND_UNKNOWN',
      says: [/mm sample\?/],
    },
    'without a positional': {
      flags: ['rank', '--clip', 'x', '--prompt', 'y'],
      exit: EXIT.usage,
      code: 'E_ARGUMENT_MISSING',
      says: [/: images\n/],
    },
    'without a required flag': refusal('E_FLAG_MISSING', '--clip', ['rank', 'a', '--prompt', 'y']),
    'without a flag’s value': refusal('E_FLAG_VALUE_MISSING', '--count', ['sample', '--count']),
    'with a value that is none of the choices': refusal(
      'E_OPTION_VALUE',
      '--log-level',
      ['doctor', '--log-level', 'loud'],
      /"warn" or "error".* "loud"/,
    ),
    'with two flags that exclude each other': refusal(
      'E_FLAG_CONFLICT',
      '--tokens',
      ['train-dalle', '--data', 'a', '--tokens', 'b'],
      /--data and --tokens/,
    ),
    'with a word too many': refusal(
      'E_ARGUMENT_UNEXPECTED',
      'red',
      ['sample', '--dalle', 'x', '--prompt', 'a', 'red', 'circle'],
      /"red"/,
    ),
  });
});

describe('names of other programs', () => {
  test('aliases with underscores are accepted with dashes too', async () => {
    const flags = ['--dalle-path', 'missing', '--num-images', '2', '--text', 'a'];
    const { stderr } = await mm(['sample', ...flags]);
    assert.match(stderr, / {2}at: {2}missing\n[\s\S]* {2}code: E_CHECKPOINT_NOT_FOUND\n$/);
  });
});

describe('an error under --json is one JSON object on stdout', () => {
  const errorOf = async (...flags: string[]): Promise<Record<string, unknown>> => {
    const { code, stdout, stderr } = await mm([...flags, '--json']);
    assert.match(stderr, /^error: .*\n/);
    const [line = '', ...more] = stdout.trimEnd().split('\n');
    assert.deepEqual(more, []);
    const { error, ...others } = JSON.parse(line) as { error: Record<string, unknown> };
    assert.deepEqual(others, {});
    assert.equal(error.exitCode, code);
    assert.ok(stderr.startsWith(`error: ${error.message}\n`), stderr);
    return error;
  };

  test('with code, flag, message, fix and exit code; options are flags in every text', async () => {
    const flags = ['--dalle', 'x', '--prompt', 'a', '--negative', 'b'];
    const { message, fix, ...error } = await errorOf('sample', ...flags);
    assert.deepEqual(error, { code: 'E_NEGATIVE_WITHOUT_GUIDANCE', option: '--negative', exitCode: 2 });
    for (const text of [message, fix]) {
      assert.match(String(text), /--guidance/);
      assert.doesNotMatch(String(text), /`/);
    }
  });

  test('with the place of a file', async () => {
    const { code, where } = await errorOf('plan', '--config', 'nowhere.yaml');
    assert.deepEqual([code, where], ['E_CONFIG_FILE', 'nowhere.yaml']);
  });

  test('also where the command line itself is wrong', async () => {
    assert.equal((await errorOf('sample', '--xylophone')).code, 'E_FLAG_UNKNOWN');
    assert.equal((await errorOf()).code, 'E_COMMAND_MISSING');
  });
});
