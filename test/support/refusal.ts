// What every error for users looks like on the command line, checked for many command lines in one process.

import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { EXIT } from '../../src/util/errors.ts';
import type { Outcome } from './mm.ts';
import { mmEach, mmTogether } from './mm-each.ts';

export interface Refusal {
  readonly flags: readonly string[];
  readonly exit: (typeof EXIT)[keyof typeof EXIT];
  readonly code: `E_${string}`;
  /** What the `at:` line is about: a flag, the end of a path, file:line:column. */
  readonly at?: RegExp | string;
  /** Numbers, names and places that the error has to give, each somewhere in it; no wording. */
  readonly says?: readonly RegExp[];
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

function check({ code: exit, stdout, stderr }: Outcome, refusal: Refusal): void {
  const shown = `mm ${refusal.flags.join(' ')}\n${stderr}`;
  assert.equal(exit, refusal.exit, shown);
  assert.equal(stdout, '', shown);
  assert.equal(stderr.match(/^error: /gm)?.length, 1, shown);
  assert.match(stderr, /^ {2}fix: \S/m, shown);
  assert.deepEqual(stderr.match(/^ {2}code: .*$/gm), [`  code: ${refusal.code}`], shown);
  assert.doesNotMatch(stderr, /^ +at [^:]|node:internal|\bError:/m, `a stack trace\n${shown}`);
  if (refusal.at !== undefined) {
    const [, at = ''] = /^ {2}at: {2}(.*)$/m.exec(stderr) ?? [];
    if (typeof refusal.at === 'string') assert.ok(at.endsWith(refusal.at), shown);
    else assert.match(at, refusal.at, shown);
  }
  for (const pattern of refusal.says ?? []) assert.match(stderr, pattern, shown);
}

/** A test for each command line: it ends with one error that has a code, what to do, and its place. */
export function testRefusals(cases: Readonly<Record<string, Refusal>>): void {
  const refusals = Object.entries(cases);
  const mm = mmTogether();
  let outcomes: Outcome[];
  before(async () => {
    outcomes = await Promise.all(refusals.map(([, { flags }]) => mm(flags)));
  });
  for (const [i, [name, refusal]] of refusals.entries()) test(name, () => check(outcomes[i]!, refusal));
}

/** Where the library is not installed, a command line says how to install it. `cache` is a folder without it. */
export async function asksForSetup(flags: readonly string[], cache: string): Promise<void> {
  const env = { MM_TENSORFLOW: undefined, MM_CACHE: cache };
  const [outcome] = await mmEach([flags], { folder: ROOT, env });
  check(outcome!, { flags, exit: EXIT.engine, code: 'E_LIBRARY_MISSING', says: [/fix: mm setup/] });
}
