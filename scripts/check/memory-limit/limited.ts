// The program in a separate memory cgroup, with what it takes of memory beside files.

import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** Folder of the controller, and the file of a group's limit: of cgroup v1, or v2. */
const CONTROLLERS = [
  { folder: '/sys/fs/cgroup/memory', limit: 'memory.limit_in_bytes' },
  { folder: '/sys/fs/cgroup', limit: 'memory.max' },
] as const;
const PROGRAM = fileURLToPath(new URL('../../../bin/mm.js', import.meta.url));
const POLL_MS = 20;

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stderr: string;
  /** The most memory, without that of files, seen. */
  readonly mostBytes: number;
}

export class Limited {
  readonly #controller;
  readonly #folder: string;
  #groups = 0;

  constructor() {
    const controller = CONTROLLERS.find(({ folder }) => existsSync(join(folder, 'cgroup.procs')));
    if (!controller) throw new Error('there is no memory cgroup here');
    this.#controller = controller;
    this.#folder = mkdtempSync(join(controller.folder, 'mm-memory-limit-'));
  }

  /** Runs `mm`. @param limit of its memory, in bytes; that of files is given up first */
  async mm(words: readonly string[], limit: number | undefined): Promise<Ended> {
    const group = join(this.#folder, String(this.#groups++));
    mkdirSync(group);
    if (limit !== undefined) writeFileSync(join(group, this.#controller.limit), String(Math.ceil(limit)));
    try {
      return await this.#run([
        '-c',
        `echo $$ > '${group}/cgroup.procs' && exec "$@"`,
        'sh',
        process.execPath,
        PROGRAM,
        ...words,
      ]);
    } finally {
      rmdirSync(group);
    }
  }

  async #run(words: readonly string[]): Promise<Ended> {
    const child = spawn('sh', words, { stdio: ['ignore', 'ignore', 'pipe'] });
    let mostBytes = 0;
    const said = text(child.stderr);
    const ended = new Promise<Pick<Ended, 'code' | 'signal'>>((resolve) =>
      child.once('close', (code, signal) => resolve({ code, signal })),
    );
    while (child.exitCode === null && child.signalCode === null) {
      mostBytes = Math.max(mostBytes, residentOf(child.pid as number));
      await Promise.race([setTimeout(POLL_MS), ended]);
    }
    return { ...(await ended), stderr: await said, mostBytes };
  }

  close(): void {
    rmdirSync(this.#folder);
  }
}

/** Bytes of a process that are in memory and not of files; 0 once it has ended. */
function residentOf(pid: number): number {
  try {
    const [, kilobytes = 0] =
      /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    return 1024 * Number(kilobytes);
  } catch {
    return 0;
  }
}
