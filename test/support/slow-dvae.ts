// The dVAE of openai/DALL-E by plain loops, written from its architecture and sharing no code with ours.
// An image is a square of channels, [row][column][channel], flat.

import type { OpenaiDvaeConfig } from '../../src/config/dvae.ts';
import type { Tensor } from '../../src/engine/tfjs/tf.ts';

export type Image = number[];
interface Conv {
  readonly weight: Tensor;
  readonly bias: Tensor;
}
interface Tree {
  readonly [name: string]: Tree | Tensor;
}

function conv({ weight, bias }: Conv, x: Image): Image {
  const [size, , inputs, outputs] = weight.shape as [number, number, number, number];
  const side = Math.sqrt(x.length / inputs);
  const [w, b] = [weight.dataSync(), bias.dataSync()];
  const y: Image = [];
  for (let r = 0; r < side; r++)
    for (let c = 0; c < side; c++)
      for (let o = 0; o < outputs; o++) {
        let sum = b[o]!;
        for (let i = 0; i < size; i++)
          for (let j = 0; j < size; j++) {
            const [row, column] = [r + i - (size - 1) / 2, c + j - (size - 1) / 2];
            if (row < 0 || column < 0 || row >= side || column >= side) continue;
            for (let k = 0; k < inputs; k++)
              sum += x[(row * side + column) * inputs + k]! * w[((i * size + j) * inputs + k) * outputs + o]!;
          }
        y.push(sum);
      }
  return y;
}

const relu = (x: Image): Image => x.map((v) => Math.max(v, 0));

/** Gathers an image of another side: `value(row, column, channel)`. */
function image(
  side: number,
  channels: number,
  value: (row: number, column: number, channel: number) => number,
): Image {
  const y: Image = [];
  for (let r = 0; r < side; r++)
    for (let c = 0; c < side; c++) for (let k = 0; k < channels; k++) y.push(value(r, c, k));
  return y;
}

function pool(x: Image, channels: number): Image {
  const side = Math.sqrt(x.length / channels);
  const at = (r: number, c: number, k: number): number => x[(r * side + c) * channels + k]!;
  return image(side / 2, channels, (r, c, k) =>
    Math.max(
      at(2 * r, 2 * c, k),
      at(2 * r, 2 * c + 1, k),
      at(2 * r + 1, 2 * c, k),
      at(2 * r + 1, 2 * c + 1, k),
    ),
  );
}

function upsample(x: Image, channels: number): Image {
  const side = Math.sqrt(x.length / channels);
  return image(side * 2, channels, (r, c, k) => x[((r >> 1) * side + (c >> 1)) * channels + k]!);
}

function block(tree: Tree, x: Image, layers: number): Image {
  const path = tree.res_path as unknown as Record<string, Conv>;
  let h = x;
  for (const name of ['conv_1', 'conv_2', 'conv_3', 'conv_4']) h = conv(path[name]!, relu(h));
  const identity = tree.id_path ? conv(tree.id_path as unknown as Conv, x) : x;
  return identity.map((v, i) => v + h[i]! / layers ** 2);
}

function coder(
  parameters: object,
  x: Image,
  config: OpenaiDvaeConfig,
  widths: number[],
  resize: (x: Image, channels: number) => Image,
): Image {
  const p = parameters as Tree;
  let h = conv(p.input as unknown as Conv, x);
  for (let g = 1; g <= config.groups; g++) {
    const group = p[`group_${g}`] as Tree;
    for (let b = 1; b <= config.blocksPerGroup; b++) {
      h = block(group[`block_${b}`] as Tree, h, config.groups * config.blocksPerGroup);
    }
    if (g < config.groups) h = resize(h, widths[g - 1]!);
  }
  return conv(p.output as unknown as Conv, relu(h));
}

const WIDTHS = [1, 2, 4, 8, 16, 32];

export function slowEncoder(p: object, x: Image, config: OpenaiDvaeConfig): Image {
  const widths = WIDTHS.slice(0, config.groups).map((factor) => factor * config.hiddenChannels);
  return coder(p, x, config, widths, pool);
}

export function slowDecoder(p: object, z: Image, config: OpenaiDvaeConfig): Image {
  const widths = WIDTHS.slice(0, config.groups).reverse();
  return coder(
    p,
    z,
    config,
    widths.map((factor) => factor * config.hiddenChannels),
    upsample,
  );
}
