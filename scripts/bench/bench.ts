// What `npm run bench` runs: a piece of work, done by mm and by the programs it is measured against.

import { fileURLToPath } from 'node:url';
import type { Contestant, Turn } from './in-turn.ts';
import { peersPython } from './script.ts';

export interface Bench {
  /** Given on the command line; names with a common start are chosen together. */
  readonly name: string;
  /** Sizes, in a line. */
  readonly about: string;
  /** Items of a step, for rates. */
  readonly items: number;
  readonly unit: 'tokens' | 'images' | 'texts';
  readonly rounds: number;
  readonly steps: number;
  readonly warmup: number;
  /** Why it cannot run here, if so. */
  readonly lacks?: () => string | undefined;
  /** mm's side is the first. @param folder an empty one for what the sides share */
  readonly sides: (folder: string) => readonly Contestant[] | Promise<readonly Contestant[]>;
  /** Multiplications and additions of a step's matrix products and convolutions, nothing counted twice. */
  readonly flops?: () => Promise<number>;
  /** Bytes of weights and caches that have to be read, so many times in a step, where that is what bounds it. */
  readonly reads?: () => { readonly bytes: number; readonly times: number };
  /** mm's time over a side's, by the side's name, that must not be passed. */
  readonly bars?: Readonly<Record<string, number>>;
  /** What the steps' values mean, where they are a figure to report. */
  readonly value?: string;
  /** @throws Error when the sides did not do the same work */
  readonly compare?: (turns: Readonly<Record<string, readonly Turn[]>>) => void;
}

export const mmSide = (module: string, ...args: readonly (string | number | object)[]): Contestant => ({
  name: 'mm',
  module: new URL(module, import.meta.url),
  args: args.map((value) => (typeof value === 'object' ? JSON.stringify(value) : String(value))),
});

/** A Python program that does one step for each line it reads; see python-side.ts. */
export const pythonSide = (
  name: string,
  script: string,
  ...args: readonly (string | number)[]
): Contestant => ({
  name,
  module: new URL('python-side.ts', import.meta.url),
  args: [peersPython(), script, ...args.map(String)],
});

export const pathHere = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
