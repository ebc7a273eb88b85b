// npm run quickstart: from a fresh clone to images. Parameters go to mm demo.

import { bootstrap, mm, reportStages, stage } from './bootstrap.mjs';

await bootstrap();
await stage('demo', () => mm('demo', ...process.argv.slice(2)));
reportStages();
