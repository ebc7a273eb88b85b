// CLIP as a state dictionary of openai/CLIP, which clip.load and open_clip open: what its code has no setting for has to
// be as in the published models.

import { type ClipModelConfig, clipModelSchema } from '../../config/clip.ts';
import { OPENAI_MEAN, OPENAI_STDDEV } from '../../config/clip-towers.ts';
import { openaiRules } from '../../convert/clip/names.ts';
import { renameBack } from '../../convert/inverse.ts';
import { StateDictToWrite } from '../../convert/torch/write.ts';
import { clipSpec } from '../../models/clip/model.ts';
import { assertDemands, type Demand } from '../demands.ts';
import { type Exporter, torchFile } from '../format.ts';
import type { ExportModel } from '../model.ts';
import { batchCounters } from './batch-counters.ts';
import { isPublished } from './open-clip.ts';
import { towerDemands } from './tower-demands.ts';

const HEAD = 64;

function assertExpressible(
  model: ExportModel,
  { architecture, loss, activation, image, text }: ClipModelConfig,
): void {
  const tower = (
    name: string,
    { mlpRatio, layerScale, normEpsilon }: typeof image | typeof text,
  ): Demand[] => [
    [`${name}.mlpRatio`, mlpRatio, [4]],
    [`${name}.layerScale`, layerScale, [undefined]],
    [`${name}.normEpsilon`, normEpsilon, [1e-5]],
  ];
  const width = image.tower === 'vit' ? image.width : image.width * 32;
  assertDemands(
    model,
    "openai/CLIP's code",
    [
      ['architecture', architecture, ['openai']],
      ['loss', loss, ['softmax']],
      ['activation', activation, ['quick-gelu']],
      ['image.patchBias', image.patchBias, [false]],
      ...towerDemands(image, text),
      ['image.heads', image.heads, [Math.floor(width / HEAD)]],
      ['image.inputNorm', image.inputNorm, [true]],
      ['image.pool', image.pool, ['class']],
      ['image.normBeforePool', image.normBeforePool, [false]],
      ['image.mean', image.mean, [OPENAI_MEAN]],
      ['image.stddev', image.stddev, [OPENAI_STDDEV]],
      ['image.resize', image.resize, ['shortest']],
      ['image.interpolation', image.interpolation, ['bicubic']],
      ...tower('image', image),
      ...tower('text', text),
      ['text.heads', text.heads, [Math.floor(text.width / HEAD)]],
      ['text.causal', text.causal, [true]],
      ['text.pool', text.pool, ['end']],
      ['text.specialTokens', text.specialTokens, [undefined]],
    ],
    'export it as open-clip',
  );
}

export const clipToOpenai: Exporter = {
  format: 'openai',
  kind: 'clip',
  writes: "CLIP as a state dictionary of openai/CLIP's names (.pt)",

  async export(model) {
    const config = model.config(clipModelSchema);
    assertExpressible(model, config);
    if (!isPublished(await model.tokenizer()))
      model.notes.push(
        "the file has no tokenizer, and that of openai/CLIP gives other ids than this model's",
      );
    const tensors = await model.tensors(clipSpec(config));
    const { image, text } = config;
    // As in the published archives, by which the file is known as such a model.
    const sizes = { input_resolution: image.size, context_length: text.length, vocab_size: text.vocabulary };
    const integers = Object.entries(sizes).map(
      ([name, size]) => [name, { dtype: 'int64', shape: [], data: BigInt64Array.of(BigInt(size)) }] as const,
    );
    const weights = new Map([
      ...integers,
      ...renameBack(tensors, openaiRules(config)),
      ...batchCounters(model, 'openai', config),
      ...(await model.external('openai')),
    ]);
    return { what: "openai/CLIP's state dictionary", file: torchFile(new StateDictToWrite(weights)) };
  },
};
