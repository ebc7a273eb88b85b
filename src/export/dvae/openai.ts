// OpenAI's dVAE as the two state dictionaries that the Encoder and the Decoder of the package dall_e load.

import type { TensorSource } from '../../checkpoint/safetensors.ts';
import { type OpenaiDvaeConfig, openaiModelSchema } from '../../config/dvae.ts';
import { openaiRules } from '../../convert/dvae/names.ts';
import { renameBack } from '../../convert/inverse.ts';
import { StateDictToWrite } from '../../convert/torch/write.ts';
import { dvaeArchitecture } from '../../models/dvae/architecture.ts';
import { assertDemands } from '../demands.ts';
import { type Exporter, torchFile } from '../format.ts';
import type { ExportModel } from '../model.ts';

/** The package's code has as many. */
const GROUPS = 4;

/** The tensors of both halves by their names there, after `encoder.` and `decoder.`. */
export async function openaiWeights(
  model: ExportModel,
  config: OpenaiDvaeConfig,
): Promise<Map<string, TensorSource>> {
  assertDemands(
    model,
    'dall_e',
    [
      ['groups', config.groups, [GROUPS]],
      ['inputKernel', config.inputKernel, [7]],
      ['encoderKernel', config.encoderKernel, [3]],
    ],
    'export it as saved-model',
  );
  return renameBack(await model.tensors(dvaeArchitecture(config).spec), openaiRules(config));
}

/** The tensors whose names begin with `prefix`, without it. */
const under = (prefix: string, tensors: ReadonlyMap<string, TensorSource>): StateDictToWrite =>
  new StateDictToWrite(
    new Map(
      [...tensors].flatMap(([name, source]) =>
        name.startsWith(prefix) ? [[name.slice(prefix.length), source]] : [],
      ),
    ),
  );

export const dvaeToOpenai: Exporter = {
  format: 'openai',
  kind: 'dvae',
  architecture: 'openai',
  writes: 'a dVAE of architecture openai as encoder.pkl and decoder.pkl, state dictionaries of dall_e',

  async export(model) {
    const config = model.config(openaiModelSchema);
    const weights = await openaiWeights(model, config);
    const { hiddenChannels: hidden, blocksPerGroup: blocks, decoderInput, vocabulary } = config;
    const sizes = `vocab_size=${vocabulary}, n_hid=${hidden}, n_blk_per_group=${blocks}`;
    if (hidden !== 256 || blocks !== 2 || decoderInput !== 128 || vocabulary !== 8192)
      model.notes.push(`make it with Encoder(${sizes}) and Decoder(${sizes}, n_init=${decoderInput})`);
    return {
      what: "OpenAI's dVAE",
      folder: {
        'encoder.pkl': torchFile(under('encoder.', weights)),
        'decoder.pkl': torchFile(under('decoder.', weights)),
      },
    };
  },
};
