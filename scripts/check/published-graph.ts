// The whole train step of the published model (configs/dalle/12b.yaml), as worker 0 of 1024 records it into its graph:
// gathered weights, gradients and their sums, the global norm, loss scales, Adam and the EMA. Nothing is allocated for
// weights, and the graph is not run. Ends with 1 where it takes longer than two minutes.
//
//   npx tsx scripts/check/published-graph.ts [--workers 1024] [--set train.allReduce=order]…

import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { givenDalleSchema } from '../../src/config/dalle.ts';
import { loadConfig } from '../../src/config/load.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { imageLength } from '../../src/models/dalle/config.ts';
import { dalleSpec } from '../../src/models/dalle/model.ts';
import { flatten } from '../../src/nn/parameters.ts';
import { Weights } from '../../src/nn/weights.ts';
import { trainedEntries } from '../../src/train/dalle/freeze.ts';
import { DalleStep } from '../../src/train/dalle/step.ts';
import { emaFor } from '../../src/train/distributed/replicas.ts';
import { slicedWeightsFor } from '../../src/train/distributed/sliced-weights.ts';
import { stepKey } from '../../src/train/loop/scalars.ts';
import { Adam } from '../../src/train/optim/adam.ts';
import { BlockLossScale } from '../../src/train/optim/block-loss-scale.ts';
import { plannedDalle } from '../../src/train/plan/parts.ts';
import { sizeOf } from '../../src/util/shape.ts';

const MAX_SECONDS = 120;

const { values } = parseArgs({
  options: {
    workers: { type: 'string', default: '1024' },
    set: { type: 'string', multiple: true, default: [] },
  },
});
const file = fileURLToPath(new URL('../../configs/dalle/12b.yaml', import.meta.url));
const { config } = await plannedDalle(loadConfig(givenDalleSchema, { file, set: values.set, flags: {} }));
const { model, train } = config;

const runtime = new Runtime({ imagined: Number(values.workers) });
const began = performance.now();
const weights = new Weights(runtime, 'dalle', dalleSpec(model));
const slicedWeights = slicedWeightsFor(runtime, 'dalle', weights, train.sharding);
const trained = trainedEntries((slicedWeights ?? weights).entries, train.freeze);
const step = new DalleStep(runtime, config, {
  weights,
  slicedWeights,
  trained,
  optimizer: new Adam(runtime, 'dalle', trained, train.optimizer, train.sharding),
  ema: emaFor(runtime, 'dalle', weights, train, slicedWeights),
  lossScale: new BlockLossScale(runtime, 'dalle', model.layers, train.blockLossScale),
});
const count = train.batch;
const tokens = (length: number): Int32Array => new Int32Array(count * length);
const batch = { count, text: tokens(model.textLength), image: tokens(imageLength(model)) };
const { nodes } = step.examine(batch, stepKey(0, 0));
const seconds = (performance.now() - began) / 1000;

const { userCPUTime, systemCPUTime } = process.resourceUsage();
const parameters = flatten(weights.spec).reduce((sum, [, { shape }]) => sum + sizeOf(shape), 0);
const of = (type: string): number => nodes.filter((node) => node.type === type).length;
console.log(
  `${(parameters / 1e9).toFixed(2)} billion parameters among ${values.workers} workers: ${nodes.length} nodes, ` +
    `${of('CollectiveGatherV2')} gathers, ${of('CollectiveAllToAllV2')} exchanges, ${of('ResourceApplyAdam')} updates; ` +
    `built in ${seconds.toFixed(0)} s, ${((userCPUTime + systemCPUTime) / 1e6).toFixed(0)} s of processor time`,
);
process.exit(seconds > MAX_SECONDS ? 1 : 0);
