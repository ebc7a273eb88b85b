// Makes a fresh clone ready: packages, the build, libtensorflow. What is there already is left alone.
// Plain JavaScript without packages, because it runs before they are installed.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));

// Ctrl-C reaches the command that runs; it decides how to end, and its exit code ends this program.
process.on('SIGINT', () => undefined);

/** Runs a command in the project's folder, its output shown; returns its exit code. */
export function run(command, ...parameters) {
  const shell = process.platform === 'win32' && command !== process.execPath;
  const { status, signal, error } = spawnSync(command, parameters, { cwd: root, stdio: 'inherit', shell });
  if (error) throw error;
  return signal === 'SIGINT' ? 130 : (status ?? 1);
}

export const mm = (...parameters) => run(process.execPath, 'bin/mm.js', ...parameters);

const stages = [];

/** Does one stage and remembers how long it took; ends the program when the stage fails. */
export async function stage(name, body) {
  const started = performance.now();
  process.stderr.write(`▸ ${name}\n`);
  const code = await body();
  stages.push([name, (performance.now() - started) / 1000]);
  if (code) process.exit(code);
}

/** Prints the seconds of each stage and of all. */
export function reportStages() {
  const total = stages.reduce((sum, [, seconds]) => sum + seconds, 0);
  const rows = [...stages, ['total', total]];
  const width = Math.max(...rows.map(([name]) => name.length));
  const lines = rows.map(([name, seconds]) => `${name.padEnd(width)} ${seconds.toFixed(1).padStart(8)} s`);
  process.stderr.write(`\n${lines.join('\n')}\n`);
}

/** Packages as in package-lock.json, the program built from this source, libtensorflow in the cache. */
export async function bootstrap() {
  requireNode();
  if (!packagesMatch()) await stage('packages', () => run('npm', 'ci'));
  await stage('build', () => run('npm', 'run', '--silent', 'build'));
  if (!(await libraryFound())) await stage('libtensorflow', () => mm('setup'));
}

function requireNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  process.stderr.write(`error: this is Node ${process.versions.node}\n  fix: install Node 20.19 or newer\n`);
  process.exit(2);
}

/** Whether node_modules holds what the lockfile says; npm writes its own record there last. */
function packagesMatch() {
  const installed = packagesIn('node_modules/.package-lock.json');
  const locked = packagesIn('package-lock.json');
  return Object.entries(locked).every(([path, { version, optional }]) =>
    path === '' ? true : installed[path] ? installed[path].version === version : optional === true,
  );
}

function packagesIn(lockfile) {
  const path = `${root}/${lockfile}`;
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')).packages : {};
}

async function libraryFound() {
  const { locateLibrary } = await import('../dist/engine/library/locate.js');
  try {
    locateLibrary();
    return true;
  } catch {
    return false;
  }
}
