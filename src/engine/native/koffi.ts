// koffi, which calls C functions from JavaScript; see ../bundled/koffi.cjs.

import { createRequire } from 'node:module';
import type * as Koffi from 'koffi';

export const koffi = createRequire(import.meta.url)('../bundled/koffi.cjs') as typeof Koffi;
