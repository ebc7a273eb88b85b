// Node's module hooks: a .ts file of the checkout is loaded as the JavaScript that was made of it before, any other
// program in TypeScript is transpiled here.

import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const ROOT = new URL('../../', import.meta.url).href;
let transpiled;

export function initialize({ transpiled: folder }) {
  transpiled = folder;
}

export async function load(url, context, next) {
  if (!/\.m?ts$/.test(url) || url.includes('/node_modules/')) return next(url, context);
  return { format: 'module', shortCircuit: true, source: await javaScriptOf(url) };
}

async function javaScriptOf(url) {
  if (url.startsWith(ROOT) && transpiled !== undefined)
    return readFile(`${transpiled}/${decodeURIComponent(url.slice(ROOT.length)).replace(/ts$/, 'js')}`);
  const { transpileFile } = await import('./transpile.mjs');
  return transpileFile(fileURLToPath(url));
}
