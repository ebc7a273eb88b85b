// Makes one CommonJS file of tfjs-core's op tests. They ship in its npm package as ES modules that Node cannot load
// as they are, and must see the same tfjs-core as tfjs-node's kernels; esbuild gives both. Jasmine is no dependency of
// mm: npm installs it into a scratch folder in the cache.

import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type PluginBuild } from 'esbuild';
import { cacheFolder } from '../../src/engine/library/locate.ts';
import { runProgram } from '../bench/script.ts';

const TOOLS = { jasmine: '3.6.4', 'jasmine-core': '3.6.0' };

/** Bundles the tests; gives the folder that holds the bundle, `suite.cjs`, and Jasmine's `node_modules`. */
export async function bundleSuite(): Promise<string> {
  const folder = await installTools();
  await build({
    entryPoints: [fileURLToPath(new URL('entry.cjs', import.meta.url))],
    outfile: join(folder, 'suite.cjs'),
    bundle: true,
    platform: 'node',
    format: 'cjs',
    logLevel: 'error',
    mainFields: ['module', 'main'], // one instance of tfjs-core
    ignoreAnnotations: true, // its sideEffects list would drop the tests
    external: ['jasmine-core/*'],
    plugins: [{ name: 'es5-class', setup: constructEs5Class }],
  });
  return folder;
}

async function installTools(): Promise<string> {
  const versions = Object.entries(TOOLS).map(([name, version]) => `${name}@${version}`);
  const folder = join(cacheFolder(), 'yardsticks', `suite-${versions.join('-')}`);
  if (Object.keys(TOOLS).every((name) => existsSync(join(folder, 'node_modules', name)))) return folder;
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'package.json'), '{ "private": true }\n');
  await runProgram('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', ...versions], {
    cwd: folder,
    fix: 'the op tests need Jasmine from the npm registry',
  });
  return folder;
}

/**
 * tfjs-node's backend is an ES5 class, and its base in tfjs-core's modules is not: `_super.call` cannot construct it.
 */
function constructEs5Class(build: PluginBuild): void {
  build.onLoad({ filter: /tfjs-node-gpu.dist.nodejs_kernel_backend\.js$/ }, async ({ path }) => {
    const source = await readFile(path, 'utf8');
    const call = '_super.call(this) || this';
    if (!source.includes(call)) throw new Error(`${path}: ${call} is not in it; is this another tfjs-node?`);
    return { contents: source.replace(call, 'Reflect.construct(_super, [], NodeJSKernelBackend)') };
  });
}
