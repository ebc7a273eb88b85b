// Writes docs/CONFIG.md from the configuration schemas: node --import tsx scripts/config-docs.ts

import { configReference } from '../src/config/reference.ts';
import { writeFileAtomic } from '../src/util/files.ts';

await writeFileAtomic(new URL('../docs/CONFIG.md', import.meta.url).pathname, configReference());
