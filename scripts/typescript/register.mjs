// node --import scripts/typescript/register.mjs PROGRAM.ts, with the folder that transpile.mjs wrote in MM_TRANSPILED.

import { register } from 'node:module';

process.setSourceMapsEnabled(true);
register('./hooks.mjs', import.meta.url, { data: { transpiled: process.env.MM_TRANSPILED } });
