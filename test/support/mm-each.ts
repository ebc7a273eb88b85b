// Runs several command lines in one process, which starts only once: most of a small command's time is its start.

import { type ChildProcess, spawn } from 'node:child_process';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { asModule, MAIN, type Outcome, type RunOptions } from './mm.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

const PROGRAM = `
const { Readable } = await import('node:stream');
const { main } = await import('${MAIN}');
process.chdir(process.argv[1]);
const streams = { stdout: process.stdout, stderr: process.stderr };
let last = Promise.resolve();
async function outcomeOf({ flags, env, input }) {
  const said = { stdout: '', stderr: '' };
  for (const [name, stream] of Object.entries(streams))
    stream.write = (chunk) => { said[name] += chunk; return true; };
  for (const name of Object.keys(process.env)) if (!(name in env)) delete process.env[name];
  Object.assign(process.env, env);
  const stdin = Readable.from(input === undefined ? [] : [Buffer.from(input)], { objectMode: false });
  Object.defineProperty(process, 'stdin', { value: stdin, configurable: true });
  await main(flags);
  const outcome = { code: process.exitCode ?? 0, ...said };
  process.exitCode = undefined;
  return outcome;
}
process.on('message', (command) => {
  last = last.then(async () => process.send(await outcomeOf(command)));
});
process.on('disconnect', () => process.exit());
`;

export interface EachOptions {
  /** Where the commands run: what they name is relative to it. */
  readonly folder?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** The sources of the program, where they are not these. */
  readonly root?: string;
}

/** A process that runs `mm …flags` as often as it is asked to, one after the other. */
class Commands {
  readonly #child: ChildProcess;
  readonly #env: NodeJS.ProcessEnv;
  readonly #waiting: { resolve(outcome: Outcome): void; reject(reason: Error): void }[] = [];

  constructor({ folder = ROOT, env = {}, root = ROOT }: EachOptions) {
    this.#env = env;
    this.#child = spawn(process.execPath, [...asModule(PROGRAM), folder], {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      serialization: 'advanced',
    });
    this.#child.on('message', (outcome) => this.#waiting.shift()?.resolve(outcome as Outcome));
    this.#child.on('exit', (code) => {
      for (const { reject } of this.#waiting.splice(0))
        reject(new Error(`the process of the commands ended with ${code}`));
    });
  }

  /** With the environment of this moment, and `input` as standard input. */
  run(flags: readonly string[], input?: RunOptions['input']): Promise<Outcome> {
    const given = Object.entries({ ...process.env, ...this.#env });
    const env = Object.fromEntries(given.filter(([, value]) => value !== undefined));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#child.send({ flags: [...flags], env, input });
    });
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#child.once('exit', () => resolve());
      this.#child.disconnect();
    });
  }
}

/** Runs `mm …flags` for each of `commands`, one after the other. */
export async function mmEach(
  commands: readonly (readonly string[])[],
  options: EachOptions,
): Promise<Outcome[]> {
  const started = new Commands(options);
  try {
    return await Promise.all(commands.map((flags) => started.run(flags)));
  } finally {
    await started.close();
  }
}

/** What `mmTogether` returns; with `input` as standard input. */
export type Together = (flags: readonly string[], input?: RunOptions['input']) => Promise<Outcome>;

let shared: Commands | undefined;
let users = 0;

/**
 * `mm`, for all commands of this process's tests in one other process, which ends after the tests or the suite that
 * asked for it. That a command's own process ends, and with which code, is for `mm` of mm.ts.
 */
export function mmTogether(): Together {
  users++;
  after(async () => {
    if (--users > 0) return;
    const ended = shared?.close();
    shared = undefined;
    await ended;
  });
  return (flags, input) => {
    shared ??= new Commands({});
    return shared.run(flags, input);
  };
}
