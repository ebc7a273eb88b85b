// mm's side of the Transformer's benches. transformer-mm.ts MODEL BATCH TRAIN, two of them sections as JSON

import { trainStep } from './dalle-train-step.ts';
import { serve } from './in-turn.ts';

const [model = '{}', batch = '8', train = '{}'] = process.argv.slice(2);
await serve(() => trainStep(JSON.parse(model), Number(batch), JSON.parse(train)));
