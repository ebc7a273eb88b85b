// What every error of a user's making looks like, checked for many command lines in one process.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { EXIT } from '../../src/util/errors.ts';
import { asModule, MAIN, type Outcome } from './mm.ts';

export interface Refusal {
  readonly flags: readonly string[];
  readonly code: (typeof EXIT)[keyof typeof EXIT];
  /** What the message says, each somewhere in it. */
  readonly says: readonly RegExp[];
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PROGRAM = `
  const { main } = await import('${MAIN}');
  const streams = [process.stdout, process.stderr];
  const writes = streams.map((stream) => stream.write);
  const outcomes = [];
  for (const flags of JSON.parse(process.argv[1])) {
    const written = ['', ''];
    streams.forEach((stream, i) => { stream.write = (text) => { written[i] += text; return true; }; });
    await main(flags);
    streams.forEach((stream, i) => { stream.write = writes[i]; });
    outcomes.push({ code: process.exitCode ?? 0, stdout: written[0], stderr: written[1] });
    process.exitCode = 0;
  }
  process.stdout.write(JSON.stringify(outcomes));`;

/** Runs command lines one after the other. */
async function each(
  commands: readonly (readonly string[])[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<Outcome[]> {
  const program = [...asModule(PROGRAM), JSON.stringify(commands)];
  const { stdout } = await promisify(execFile)(process.execPath, program, {
    cwd: ROOT,
    env,
    maxBuffer: 2 ** 24,
  });
  return JSON.parse(stdout) as Outcome[];
}

function check({ code, stdout, stderr }: Outcome, refusal: Refusal): void {
  const told = `mm ${refusal.flags.join(' ')}\n${stderr}`;
  assert.equal(code, refusal.code, told);
  assert.equal(stdout, '', told);
  assert.equal(stderr.match(/^error: /gm)?.length, 1, told);
  assert.match(stderr, /^ {2}fix: \S/m, told);
  assert.doesNotMatch(stderr, /^ +at [^:]|node:internal|\bError:/m, `a stack trace\n${told}`);
  for (const pattern of refusal.says) assert.match(stderr, pattern, told);
}

/** A test for each command line: it ends with one message that says what, where and the fix. */
export function testRefusals(cases: Readonly<Record<string, Refusal>>): void {
  const refusals = Object.entries(cases);
  let outcomes: Outcome[];
  before(async () => {
    outcomes = await each(refusals.map(([, { flags }]) => flags));
  });
  for (const [i, [name, refusal]] of refusals.entries()) test(name, () => check(outcomes[i]!, refusal));
}

/** Where the library is not installed, a command line says how to install it. `cache` is a folder without it. */
export async function asksForSetup(flags: readonly string[], cache: string): Promise<void> {
  const { MM_TENSORFLOW: _chosen, ...env } = process.env;
  const [outcome] = await each([flags], { ...env, MM_CACHE: cache });
  check(outcome!, { flags, code: EXIT.engine, says: [/libtensorflow is not installed/, /fix: mm setup/] });
}
