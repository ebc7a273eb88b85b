// The names of a dVAE's weights in the programs that published them.

import { layer, type Rule, times } from '../rules.ts';

interface OpenaiSize {
  readonly groups: number;
  readonly blocksPerGroup: number;
}

/** Convolutions of openai/DALL-E have `w` and `b`. */
const convolution = (ours: string, theirs: string): Rule[] => [
  [`${ours}.weight`, `${theirs}.w`, 'kernel'],
  [`${ours}.bias`, `${theirs}.b`, 'plain'],
];

/** openai/DALL-E: the names in its encoder and its decoder, after `encoder.` and `decoder.`. */
export const openaiRules = ({ groups, blocksPerGroup }: OpenaiSize): Rule[] =>
  ['encoder', 'decoder'].flatMap((coder) => [
    ...convolution(`${coder}.input`, `${coder}.blocks.input`),
    ...times(groups, (group) =>
      times(blocksPerGroup, (i) => {
        const block = `group_${group + 1}.block_${i + 1}`;
        const [ours, theirs] = [`${coder}.${block}`, `${coder}.blocks.${block}`];
        return [
          ...convolution(`${ours}.id_path`, `${theirs}.id_path`),
          ...times(4, (conv) => {
            const path = `res_path.conv_${conv + 1}`;
            return convolution(`${ours}.${path}`, `${theirs}.${path}`);
          }),
        ];
      }),
    ),
    ...convolution(`${coder}.output`, `${coder}.blocks.output.conv`),
  ]);

interface DiscreteVaeSize {
  readonly layers: number;
  readonly resnetBlocks: number;
}

/**
 * DALLE-pytorch's DiscreteVAE, whose names are positions in two sequences. Encoder: layers, resblocks, output.
 * Decoder: input (only with resblocks), resblocks, layers, output.
 */
export function discreteVaeRules({ layers, resnetBlocks }: DiscreteVaeSize): Rule[] {
  const convolutions = (ours: string, theirs: string): Rule[] => layer(ours, theirs, 'kernel');
  const layersAt = (coder: string, start: number): Rule[] =>
    times(layers, (i) => convolutions(`${coder}.layers.layer_${i + 1}`, `${coder}.${start + i}.0`));
  const blocksAt = (coder: string, start: number): Rule[] =>
    times(resnetBlocks, (i) =>
      times(3, (conv) =>
        convolutions(
          `${coder}.blocks.block_${i + 1}.conv_${conv + 1}`,
          `${coder}.${start + i}.net.${2 * conv}`,
        ),
      ),
    );
  const inputs = resnetBlocks === 0 ? 0 : 1;
  return [
    ['codebook', 'codebook.weight', 'plain'],
    ...layersAt('encoder', 0),
    ...blocksAt('encoder', layers),
    ...convolutions('encoder.output', `encoder.${layers + resnetBlocks}`),
    ...(inputs === 0 ? [] : convolutions('decoder.input', 'decoder.0')),
    ...blocksAt('decoder', inputs),
    ...layersAt('decoder', inputs + resnetBlocks),
    ...convolutions('decoder.output', `decoder.${inputs + resnetBlocks + layers}`),
  ];
}
