// The tests that tfjs-node itself leaves out: read from its own runner, so that the counts compare with its.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { runInNewContext } from 'node:vm';

/** Parts of full test names; a test whose name contains one is skipped. */
export function skipList(): string[] {
  const path = createRequire(import.meta.url).resolve('@tensorflow/tfjs-node-gpu/dist/run_tests.js');
  const list = /var IGNORE_LIST = (\[[\s\S]*?\n\]);/.exec(readFileSync(path, 'utf8'))?.[1];
  if (list === undefined) throw new Error(`${path}: no IGNORE_LIST in it; is this another tfjs-node?`);
  return [...(runInNewContext(list) as string[])];
}
