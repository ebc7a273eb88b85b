// Node's module hooks: a .ts file of the checkout is loaded as the JavaScript that was made of it.

import { readFileSync } from 'node:fs';

const ROOT = new URL('../../', import.meta.url).href;
let transpiled;

export function initialize({ transpiled: folder }) {
  transpiled = folder;
}

export function load(url, context, next) {
  if (!url.startsWith(ROOT) || !url.endsWith('.ts') || url.includes('/node_modules/'))
    return next(url, context);
  const path = decodeURIComponent(url.slice(ROOT.length, -'.ts'.length));
  return { format: 'module', shortCircuit: true, source: readFileSync(`${transpiled}/${path}.js`) };
}
