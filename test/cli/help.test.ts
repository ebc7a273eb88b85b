// The help of every command: what a reader finds in it, and where.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import yargs, { type Argv } from 'yargs';
import { type CommandEntry, isGroup, REGISTRY } from '../../src/cli/registry.ts';
import { mmEach } from '../support/mm-each.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MAX_COLUMNS = 110;

const commands: readonly (readonly [name: string, entry: CommandEntry])[] = REGISTRY.flatMap((entry) =>
  isGroup(entry)
    ? entry.actions.map((action) => [`${entry.name} ${action.name}`, action] as const)
    : [[entry.name, entry] as const],
);
const groups = REGISTRY.filter(isGroup).map(({ name }) => name);

interface Declared {
  readonly key: Readonly<Record<string, unknown>>;
  readonly default: Readonly<Record<string, unknown>>;
  readonly defaultDescription: Readonly<Record<string, string | undefined>>;
  /** Flags that are there to be refused with what to do. */
  readonly hiddenOptions: readonly string[];
}

/** What a command declares, without the flags that every command has. */
async function declared(entry: CommandEntry): Promise<Declared> {
  const { command } = await entry.load();
  const own = yargs([]).help(false).version(false);
  return (command.flags(own) as Argv & { getOptions(): Declared }).getOptions();
}

/** The sections of a help text by their headings. */
function sectionsOf(help: string): Map<string, string> {
  const parts = help.split(/^(\S.*:)$/m);
  return new Map(
    Array.from({ length: (parts.length - 1) / 2 }, (_, i) => [parts[2 * i + 1]!, parts[2 * i + 2]!]),
  );
}

/** The entry of a flag, with its lines of text joined. */
function entryOf(help: string, flag: string): string {
  const lines = help.split('\n');
  const first = lines.findIndex((line) => new RegExp(`^ {2}--${flag}[, ]`).test(line));
  assert.ok(first >= 0, `--${flag} is not in the help`);
  const rest = lines.slice(first + 1);
  const next = rest.findIndex((line) => !/^ {4,}/.test(line));
  return [lines[first], ...rest.slice(0, next)].join(' ').replaceAll(/\s+/g, ' ');
}

let helps: Map<string, string>;
before(async () => {
  const names = ['', ...groups, ...commands.map(([name]) => name)];
  const outcomes = await mmEach(
    names.map((name) => [...(name === '' ? [] : name.split(' ')), '--help']),
    { folder: ROOT },
  );
  helps = new Map(
    names.map((name, i) => {
      const { code, stdout, stderr } = outcomes[i]!;
      assert.deepEqual([code, stderr], [0, ''], name);
      return [name, stdout];
    }),
  );
});

test('no help is wider than the terminal of a reader, and each says what its command does', () => {
  for (const [name, help] of helps) {
    const wide = help.split('\n').filter((line) => Array.from(line).length > MAX_COLUMNS);
    assert.deepEqual(wide, [], `mm ${name} --help`);
  }
  for (const [name, entry] of commands) assert.ok(helps.get(name)!.includes(entry.describe), name);
});

test('mm --help lists every command', () => {
  for (const { name, describe } of REGISTRY) {
    assert.match(helps.get('')!, new RegExp(`^  mm ${name} `, 'm'));
    assert.ok(helps.get('')!.includes(describe), name);
  }
});

describe('a command’s help', () => {
  for (const [name, entry] of commands) {
    test(`of mm ${name} has its own flags before those of every command, then examples`, async () => {
      const sections = sectionsOf(helps.get(name)!);
      const headings = [...sections.keys()];
      assert.deepEqual(headings.slice(-2), ['Everywhere:', 'Examples:']);
      assert.equal(headings.includes('Positionals:'), entry.positionals !== undefined);
      if (entry.positionals !== undefined) assert.equal(headings[0], 'Positionals:');
      const { key } = await declared(entry);
      const common = sections.get('Everywhere:')!;
      for (const flag of ['json', 'quiet', 'log-level', 'help', 'version'])
        assert.match(common, new RegExp(`^  --${flag} `, 'm'));
      for (const flag of Object.keys(key)) assert.doesNotMatch(common, new RegExp(`^  --${flag}[, ]`, 'm'));
      assert.match(sections.get('Examples:')!, new RegExp(`^  # .+\\n  mm ${name}( |$)`, 'm'));
    });

    test(`of mm ${name} describes each flag and says its default`, async () => {
      const options = await declared(entry);
      const help = helps.get(name)!;
      const positionals = sectionsOf(help).get('Positionals:') ?? '';
      const main = Object.keys(options.key).filter(
        (flag) =>
          !options.hiddenOptions.includes(flag) &&
          (new RegExp(`^  --${flag}[, ]`, 'm').test(help) || !/_/.test(flag)),
      );
      for (const flag of main) {
        if (new RegExp(`^  ${flag} +\\S`, 'm').test(positionals)) continue;
        if (new RegExp(`^  --[^ ]+,.* --${flag}[, ]`, 'm').test(help)) continue; // an alias
        const text = entryOf(help, flag);
        assert.match(text, /(--[\w-]+, )*--[\w-]+ [^[ ].*\[/, `${flag}: a description and a type`);
        const value = options.default[flag];
        const stated = options.defaultDescription[flag];
        if (value !== undefined || stated !== undefined)
          assert.ok(text.includes(`[default: ${stated ?? JSON.stringify(value)}]`), text);
      }
    });
  }
});
