// Writes docs/MODELS.md from the converters: node --import tsx scripts/models-docs.ts

import { writeFileAtomic } from '../src/util/files.ts';
import { modelsPage } from './models-page.ts';

await writeFileAtomic(new URL('../docs/MODELS.md', import.meta.url).pathname, modelsPage());
