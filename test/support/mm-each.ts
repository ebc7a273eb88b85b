// Runs several command lines in one process, which starts only once.

import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { asModule, MAIN, type Outcome } from './mm.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

const PROGRAM = `
const { main } = await import('${MAIN}');
const { folder, commands } = JSON.parse(process.argv[1]);
process.chdir(folder);
const streams = { stdout: process.stdout, stderr: process.stderr };
const write = process.stdout.write.bind(process.stdout);
const outcomes = [];
for (const flags of commands) {
  const said = { stdout: '', stderr: '' };
  for (const [name, stream] of Object.entries(streams))
    stream.write = (chunk) => { said[name] += chunk; return true; };
  await main(flags);
  outcomes.push({ code: process.exitCode ?? 0, ...said });
  process.exitCode = undefined;
}
write(JSON.stringify(outcomes));
`;

export interface EachOptions {
  /** Where the commands run: what they name is relative to it. */
  readonly folder: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** The sources of the program, where they are not these. */
  readonly root?: string;
}

/** Runs `mm …flags` for each of `commands`, one after the other. */
export async function mmEach(
  commands: readonly (readonly string[])[],
  { folder, env, root = ROOT }: EachOptions,
): Promise<Outcome[]> {
  const child = spawn(process.execPath, [...asModule(PROGRAM), JSON.stringify({ folder, commands })], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  if (code !== 0) throw new Error(`the process of the commands ended with ${code}\n${stderr}`);
  return JSON.parse(stdout) as Outcome[];
}
