// TensorFlow's server between network namespaces: the other worker's address gets in, a stranger's does not.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { programFile, TYPESCRIPT } from '../support/typescript.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const OWN = `mm-own-${process.pid}`;
const OTHER = `mm-other-${process.pid}`;
const PORT = 23_456;

const ip = (...words: string[]): boolean => spawnSync('ip', words).status === 0;

/** Two namespaces with a cable between them: 10.77.0.1 here; the worker 10.77.0.2 and a stranger 10.77.0.3 there. */
function connectNamespaces(): boolean {
  const [here, there] = [`mmA${process.pid}`, `mmB${process.pid}`];
  return (
    ip('netns', 'add', OWN) &&
    ip('netns', 'add', OTHER) &&
    ip('link', 'add', here, 'netns', OWN, 'type', 'veth', 'peer', 'name', there, 'netns', OTHER) &&
    ip('-n', OWN, 'address', 'add', '10.77.0.1/24', 'dev', here) &&
    ip('-n', OTHER, 'address', 'add', '10.77.0.2/24', 'dev', there) &&
    ip('-n', OTHER, 'address', 'add', '10.77.0.3/24', 'dev', there) &&
    ip('-n', OWN, 'link', 'set', here, 'up') &&
    ip('-n', OTHER, 'link', 'set', there, 'up') &&
    ip('-n', OWN, 'link', 'set', 'lo', 'up')
  );
}

after(() => {
  ip('netns', 'delete', OWN);
  ip('netns', 'delete', OTHER);
});

const RUNTIME = pathToFileURL(
  programFile(new URL('../../src/engine/session/runtime.ts', import.meta.url)),
).href;
const SERVER = `
  const { Runtime } = await import('${RUNTIME}');
  const addresses = [{ host: 'localhost', port: ${PORT} }, { host: '10.77.0.2', port: ${PORT} }];
  new Runtime({ server: { rank: 0, addresses } });
  console.log('ready');
  setInterval(() => {}, 1000);
`;

/** Whether a connection from this address of the other namespace is made within a second. */
const connects = (from: string): boolean =>
  spawnSync('ip', [
    ...['netns', 'exec', OTHER, process.execPath, '-e'],
    `const s = require('node:net').connect({ port: ${PORT}, host: '10.77.0.1', localAddress: '${from}' });
     s.on('connect', () => process.exit(0)); s.on('error', () => process.exit(1));
     setTimeout(() => process.exit(2), 1000);`,
  ]).status === 0;

test('a connection from an address that is no worker is dropped', async (t) => {
  if (!connectNamespaces()) return t.skip('network namespaces cannot be made here');
  const program = [...TYPESCRIPT, '--input-type=module', '-e', SERVER];
  const server = spawn('ip', ['netns', 'exec', OWN, process.execPath, ...program], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => server.kill('SIGKILL'));
  const [line] = await once(createInterface({ input: server.stdout }), 'line');
  assert.equal(line, 'ready');
  assert.ok(connects('10.77.0.2'));
  assert.ok(!connects('10.77.0.3'));
});
