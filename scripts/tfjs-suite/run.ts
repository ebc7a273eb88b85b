// tfjs-core's own op tests on mm's engine, and with --stock on tfjs-node's native addon too.
//
//   node --import tsx scripts/tfjs-suite/run.ts [--stock] [--headers FOLDER|WHEEL] [--json]
//
// Exit code 0 when mm's engine passes at least as many as the addon did when docs/BENCH.md was written.

import { parseArgs } from 'node:util';
import { runScript } from '../bench/script.ts';
import { stockAddon } from '../bench/stock-addon.ts';
import { Worker } from '../bench/worker.ts';
import { bundleSuite } from './bundle.ts';
import type { SuiteResult } from './worker.ts';

/** What the stock addon passes (tfjs-core 4.22, libtensorflow 2.21). */
const STOCK_PASSES = 3877;

async function runSuite(folder: string, addon?: string): Promise<SuiteResult> {
  const args = addon === undefined ? [folder] : [folder, addon];
  const worker = new Worker('the run of the op tests', new URL('worker.ts', import.meta.url), args);
  try {
    return await worker.receive<SuiteResult>();
  } finally {
    worker.release();
  }
}

function print(name: string, { passed, failed, skipped, failures }: SuiteResult): void {
  console.log(`${name}: ${passed} passed, ${failed} failed, ${skipped} skipped`);
  for (const { test, message } of failures) console.log(`  ${test}\n    ${message.slice(0, 200)}`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { stock: { type: 'boolean' }, headers: { type: 'string' }, json: { type: 'boolean' } },
  });
  const folder = await bundleSuite();
  const results: Record<string, SuiteResult> = { mm: await runSuite(folder) };
  if (values.stock) results.stock = await runSuite(folder, await stockAddon({ headers: values.headers }));
  if (values.json) console.log(JSON.stringify(results));
  else for (const [name, result] of Object.entries(results)) print(name, result);
  if ((results.mm?.passed ?? 0) < STOCK_PASSES) process.exitCode = 1;
}

await runScript(main);
