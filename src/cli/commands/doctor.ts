// mm doctor: what is installed and found, and for every failing line the fix.

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

async function* examine(signal: AbortSignal): AsyncGenerator<Finding> {
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
  flags: (yargs) => yargs,

  async run(_flags, { json, print, signal }) {
    const findings: Finding[] = [];
    for await (const finding of examine(signal)) {
      findings.push(finding);
      print(`${finding.status.padEnd(8)} ${finding.name.padEnd(14)} ${finding.detail}`);
      if (finding.fix !== undefined) print(`${' '.repeat(24)}fix: ${finding.fix}`);
    }
    const failed = findings.filter(({ status }) => status === 'FAIL').map(({ name }) => name);
    json({ ok: failed.length === 0, findings });
    if (failed.length > 0) {
      throw new EngineError(`mm cannot work here: ${failed.join(', ')}`, {
        fix: findings.find(({ status, fix }) => status === 'FAIL' && fix !== undefined)?.fix,
      });
    }
  },
});
