// mm's side of dalle-step.ts. dalle-step-mm.ts MODEL BATCH, where MODEL is a model section as JSON

import { trainStep } from './dalle-train-step.ts';
import { serve } from './in-turn.ts';

const [model = '{}', batch = '8'] = process.argv.slice(2);

await serve(() => trainStep(JSON.parse(model), Number(batch)));
