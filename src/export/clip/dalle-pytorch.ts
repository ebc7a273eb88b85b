// The CLIP of DALLE-pytorch as its state dictionary.

import { clipModelSchema } from '../../config/clip.ts';
import { dallePytorchRules } from '../../convert/clip/names.ts';
import { renameBack } from '../../convert/inverse.ts';
import { StateDictToWrite } from '../../convert/torch/write.ts';
import { clipSpec } from '../../models/clip/model.ts';
import { assertDemands } from '../demands.ts';
import { type Exporter, torchFile } from '../format.ts';

export const clipToDallePytorch: Exporter = {
  format: 'dalle-pytorch',
  kind: 'clip',
  writes: 'CLIP of architecture dalle-pytorch as its state dictionary (.pt)',

  async export(model) {
    const config = model.config(clipModelSchema);
    const { architecture, image } = config;
    assertDemands(
      model,
      "DALLE-pytorch's CLIP",
      [
        ['architecture', architecture, ['dalle-pytorch']],
        ['image.mean', image.mean, [[0, 0, 0]]],
        ['image.stddev', image.stddev, [[1, 1, 1]]],
      ],
      architecture === 'openai'
        ? 'export it as open-clip or transformers'
        : 'train it with pixels from 0 to 1',
    );
    model.notes.push(
      'the file has no settings and no tokenizer: keep the arguments of CLIP(…) and the tokenizer with it',
    );
    const weights = renameBack(await model.tensors(clipSpec(config)), dallePytorchRules(config));
    return { what: "DALLE-pytorch's CLIP", file: torchFile(new StateDictToWrite(weights)) };
  },
};
