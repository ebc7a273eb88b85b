// One run of the op tests in a separate process: worker.ts FOLDER [ADDON]. Without an addon, on mm's own binding.
// Sends its counts to the parent process.

import { createRequire } from 'node:module';
import { join } from 'node:path';
import util from 'node:util';
import { skipList } from './skip-list.ts';

export interface SuiteResult {
  passed: number;
  failed: number;
  skipped: number;
  failures: { test: string; message: string }[];
}

interface Spec {
  status: string;
  fullName: string;
  failedExpectations: { message: string }[];
}
interface JasmineEnvironment {
  configure(options: { specFilter(spec: { getFullName(): string }): boolean }): void;
  clearReporters(): void;
  addReporter(reporter: { specDone(spec: Spec): void; jasmineDone(): void }): void;
}
interface Runner {
  env: JasmineEnvironment;
  exitOnCompletion: boolean;
  loadConfig(options: { spec_files: string[]; random: boolean }): void;
  execute(): void;
}

const [folder = '', addon] = process.argv.slice(2);
const requireThere = createRequire(join(folder, 'package.json'));

async function binding(): Promise<unknown> {
  if (addon !== undefined) return requireThere(addon);
  const { EagerBinding } = await import('../../src/engine/tfjs/eager-binding.ts');
  return new EagerBinding();
}

function count(env: JasmineEnvironment, done: (result: SuiteResult) => void): void {
  const result: SuiteResult = { passed: 0, failed: 0, skipped: 0, failures: [] };
  env.clearReporters();
  env.addReporter({
    specDone({ status, fullName, failedExpectations }) {
      if (status === 'passed') result.passed++;
      else if (status === 'failed') {
        result.failed++;
        result.failures.push({ test: fullName, message: failedExpectations[0]?.message ?? '' });
      } else result.skipped++;
    },
    jasmineDone: () => done(result),
  });
}

// tfjs-node 4.22 calls what Node 23 removed.
Object.assign(util, { isNullOrUndefined: (value: unknown) => value === null || value === undefined });
const Jasmine = requireThere('jasmine') as new () => Runner;
const runner = new Jasmine();
runner.exitOnCompletion = false;
runner.loadConfig({ spec_files: [], random: false });
(requireThere('./suite.cjs') as { defineSuite(binding: unknown): void }).defineSuite(await binding());
const skipped = skipList();
runner.env.configure({
  specFilter: (spec) => !skipped.some((part) => spec.getFullName().includes(part)),
});
count(runner.env, (result) => process.send?.(result, () => process.exit()));
runner.execute();
