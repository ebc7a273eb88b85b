// mm doctor: checks the installation; each failing line has its fix.

import { EngineError } from '../../util/errors.ts';
import { defineCommand } from '../command.ts';
import {
  checkDisk,
  checkEngine,
  checkGpu,
  checkKoffi,
  checkLibrary,
  checkMachine,
  checkNode,
  checkPlatform,
  checkSharp,
  checkTfjs,
  type Finding,
} from '../diagnosis.ts';
import { withExamples } from '../help.ts';

async function* checks(signal: AbortSignal): AsyncGenerator<Finding> {
  yield checkNode();
  yield checkPlatform();
  yield checkMachine();
  yield await checkDisk();
  yield await checkTfjs();
  yield await checkSharp();
  const koffi = await checkKoffi();
  yield koffi;
  const { findings, library } = await checkLibrary();
  yield* findings;
  yield await checkGpu(library);
  if (library !== undefined && koffi.status === 'ok') yield await checkEngine(library, signal);
}

export const command = defineCommand({
  flags: (yargs) =>
    withExamples(yargs, [
      ['a line for each check', 'doctor'],
      ['for a bug report, or a program', 'doctor --json'],
    ]),

  async run(_flags, { json, print, signal }) {
    const findings: Finding[] = [];
    for await (const finding of checks(signal)) {
      findings.push(finding);
      print(`${finding.status.padEnd(8)} ${finding.name.padEnd(14)} ${finding.detail}`);
      if (finding.fix !== undefined) print(`${' '.repeat(24)}fix: ${finding.fix}`);
    }
    const failed = findings.filter(({ status }) => status === 'FAIL').map(({ name }) => name);
    json({ ok: failed.length === 0, findings });
    if (failed.length > 0) {
      throw new EngineError(`mm does not work here: ${failed.join(', ')}`, {
        code: 'E_DOCTOR',
        fix: findings.find(({ status, fix }) => status === 'FAIL' && fix !== undefined)?.fix,
      });
    }
  },
});
