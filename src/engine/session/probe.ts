// A separate program that loads libtensorflow through the engine, multiplies two matrices and prints the result as
// JSON. It runs in a child process, because a library that does not fit the machine can kill the process that loads it.

import { writeSync } from 'node:fs';
import { Graph } from '../graph/graph.ts';
import type { ProbeFailure, ProbeResult } from '../library/verify.ts';
import { capi } from '../native/capi.ts';
import { DT } from '../native/dtype.ts';
import { sessionConfig } from '../native/session-config.ts';
import { Session } from './session.ts';

async function probe(): Promise<ProbeResult> {
  const started = performance.now();
  const version = capi().version();
  const graph = new Graph();
  const left = graph.constant(DT.float32, [2, 2], [1, 2, 3, 4]);
  const right = graph.constant(DT.float32, [2, 2], [5, 6, 7, 8]);
  const session = new Session(graph, sessionConfig({}));
  const [product] = await session.run('self-test', [], [graph.output('MatMul', [left, right])], []);
  const devices = session.devices().map(([name]) => name);
  await session.close();
  const correct = String(product?.data) === '19,22,43,50';
  return { version, devices, correct, seconds: (performance.now() - started) / 1000 };
}

// Written synchronously, so that the report is complete however the process ends.
const report = (found: ProbeResult | ProbeFailure): number => writeSync(1, JSON.stringify(found));

try {
  report(await probe());
} catch (error) {
  report({ error: (error as Error).message });
}
