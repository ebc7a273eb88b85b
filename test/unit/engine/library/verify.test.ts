// The verification in a child process: with the installed library, where there is one, and with files of other formats.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type LibraryFiles, locateLibrary } from '../../../../src/engine/library/locate.ts';
import { explainProbeFailure, verifyLibrary } from '../../../../src/engine/library/verify.ts';
import { EngineError } from '../../../../src/util/errors.ts';
import { FRAMEWORK, TENSORFLOW, temporaryFolder, writeFiles } from './fake.ts';

function realLibrary(): LibraryFiles | undefined {
  try {
    return locateLibrary();
  } catch {
    return undefined;
  }
}

const real = realLibrary();

test('the real library loads and multiplies', {
  skip: real === undefined && 'no library installed',
}, async () => {
  const { version, devices, correct, seconds } = await verifyLibrary(real!.folder);
  assert.match(version, /^\d+\.\d+\.\d+/);
  assert.ok(devices.some((name) => name.endsWith('device:CPU:0')));
  assert.equal(correct, true);
  assert.ok(seconds > 0);
});

test('files that are not libraries are an error with the reason', async (t) => {
  const folder = await temporaryFolder(t);
  await writeFiles(folder, { [FRAMEWORK]: 'not a library', [TENSORFLOW]: 'nor this' });
  await assert.rejects(verifyLibrary(folder), (error) => {
    assert.ok(error instanceof EngineError);
    assert.equal(error.code, 'E_LIBRARY_LOAD');
    assert.match(error.message, /invalid ELF header|file too short|not a mach-o/i);
    assert.equal(error.where, folder);
    return true;
  });
});

test('known reasons are explained', () => {
  const said = (...parameters: Parameters<typeof explainProbeFailure>) => {
    const [what, { fix }] = explainProbeFailure(...parameters);
    return `${what} | ${fix}`;
  };
  assert.match(said('SIGILL', '', '/x'), /AVX/);
  assert.match(said('SIGSEGV', '', '/x'), /ended by SIGSEGV \| mm setup --force/);
  assert.match(
    said(null, "libm.so.6: version `GLIBC_2.27' not found", '/x'),
    /GLIBC_2.27' not found \| .*glibc 2\.27/,
  );
});
