// The joint Transformer by plain loops over one example, token by token, sharing no code with ours but the rule of
// which positions attend to which (which has its own test).

import type { DalleModelConfig } from '../../src/config/dalle-model.ts';
import type { Tensor } from '../../src/engine/tfjs/tf.ts';
import type { DalleParameters } from '../../src/models/dalle/model.ts';
import { attends } from '../../src/nn/attention-kinds.ts';

type Vector = number[];
interface Affine {
  readonly weight: Tensor;
  readonly bias: Tensor;
}

const row = (table: Tensor, index: number): Vector => {
  const width = table.shape.at(-1)!;
  return [...table.dataSync().slice(index * width, (index + 1) * width)];
};
const add = (...vectors: Vector[]): Vector =>
  vectors[0]!.map((_, i) => vectors.reduce((sum, v) => sum + v[i]!, 0));

function affine({ weight, bias }: Affine, x: Vector): Vector {
  const w = weight.dataSync();
  return [...bias.dataSync()].map((b, o, { length }) =>
    x.reduce((sum, v, i) => sum + v * w[i * length + o]!, b),
  );
}

function norm({ gain, bias }: { gain: Tensor; bias: Tensor }, x: Vector): Vector {
  const mean = x.reduce((a, b) => a + b) / x.length;
  const variance = x.reduce((a, b) => a + (b - mean) ** 2, 0) / x.length;
  const [g, b] = [gain.dataSync(), bias.dataSync()];
  return x.map((v, i) => ((v - mean) / Math.sqrt(variance + 1e-5)) * g[i]! + b[i]!);
}

/** Its Maclaurin series; good for the arguments of these tests. */
function erf(x: number): number {
  let [sum, term] = [x, x];
  for (let n = 1; n < 80; n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

function softmax(scores: Vector): Vector {
  const exponentials = scores.map((score) => Math.exp(score - Math.max(...scores)));
  const total = exponentials.reduce((a, b) => a + b);
  return exponentials.map((e) => e / total);
}

/** The layers' attention, written out by the caller. */
export function slowLogits(
  p: DalleParameters,
  text: number[],
  image: number[],
  config: DalleModelConfig,
  kinds: readonly (typeof config.attention)[number][],
): { text: Vector[]; image: Vector[] } {
  const { grid, heads, width, kernelSize: convolution } = config;
  const layout = { prefix: text.length + 1, grid, kernelSize: convolution };
  let stream = [
    row(p.start, 0),
    ...text.map((id, t) => add(row(p.text_embedding, id), row(p.text_position, t))),
    ...image
      .slice(0, -1)
      .map((id, i) =>
        add(
          row(p.image_embedding, id),
          row(p.image_row, Math.floor(i / grid)),
          row(p.image_column, i % grid),
        ),
      ),
  ];
  kinds.forEach((kind, layer) => {
    const b = p.blocks[`block_${layer + 1}`]!;
    const qkv = stream.map((x) => affine(b.attention.qkv, norm(b.attention_norm, x)));
    stream = stream.map((x, n) => {
      const merged = Array.from({ length: heads }, (_, head) => {
        const slice = (position: number, which: number): Vector => {
          const start = which * width + head * (width / heads);
          return qkv[position]!.slice(start, start + width / heads);
        };
        const keys = stream.map((_, m) => m).filter((m) => attends(kind, n, m, layout));
        const weights = softmax(
          keys.map((m) => {
            const products = slice(m, 1).map((k, i) => k * slice(n, 0)[i]!);
            return products.reduce((a, c) => a + c) / Math.sqrt(width / heads);
          }),
        );
        return add(...keys.map((m, i) => slice(m, 2).map((v) => v * weights[i]!)));
      }).flat();
      const y = add(x, affine(b.attention.output, merged));
      const hidden = affine(b.feed_forward.expand, norm(b.feed_forward_norm, y));
      const activated = hidden.map((h) => (h * (1 + erf(h / Math.SQRT2))) / 2);
      return add(y, affine(b.feed_forward.contract, activated));
    });
  });
  const output = stream.map((x) => norm(p.norm, x));
  return {
    text: output.slice(0, text.length).map((x) => affine(p.text_head, x)),
    image: output.slice(text.length).map((x) => affine(p.image_head, x)),
  };
}

/** −ln of the softmax at `label`. */
export const slowCrossEntropy = (logits: Vector, label: number): number => -Math.log(softmax(logits)[label]!);
