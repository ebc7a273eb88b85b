// JPEG files decoded by libtensorflow: its libjpeg-turbo takes half the time of sharp's decoder, and reduces to exactly
// a half or a quarter in the transform, which sharp does only when more than that is asked for.

import { boolAttr, intAttr, stringAttr } from '../graph/attributes.ts';
import { Graph } from '../graph/graph.ts';
import type { GraphOutput } from '../native/capi.ts';
import { DT } from '../native/dtype.ts';
import { Session } from './session.ts';
import { sessionConfig } from './session-config.ts';

/** Factors by which the decoder reduces: of 8 × 8 coefficients of a block it takes 8, 4 or 2 on a side. */
const RATIOS = [1, 2, 4] as const;
export type JpegRatio = (typeof RATIOS)[number];

export interface DecodedJpeg {
  /** Pixels: those of the file divided by the ratio, rounded up. */
  readonly width: number;
  readonly height: number;
  /** RGB, height × width × 3 */
  readonly pixels: Uint8Array;
}

class JpegDecoder {
  readonly #session: Session;
  readonly #contents: GraphOutput;
  readonly #images: ReadonlyMap<JpegRatio, GraphOutput>;

  constructor() {
    const graph = new Graph();
    graph.device = '/device:CPU:0';
    this.#contents = graph.placeholder(DT.string, []);
    this.#images = new Map(
      RATIOS.map((ratio) => [
        ratio,
        graph.output('DecodeJpeg', [this.#contents], {
          attributes: [
            intAttr('channels', 3),
            intAttr('ratio', ratio),
            boolAttr('fancy_upscaling', true),
            boolAttr('try_recover_truncated', false),
            stringAttr('dct_method', 'INTEGER_ACCURATE'),
          ],
        }),
      ]),
    );
    this.#session = new Session(graph, sessionConfig({ gpus: 0 }));
  }

  async decode(data: Uint8Array, ratio: JpegRatio, pixels?: Uint8Array): Promise<DecodedJpeg> {
    const contents = { dtype: 'string', shape: [], data: [data] } as const;
    const [image] = await this.#session.run(
      'decode JPEG',
      [{ output: this.#contents, value: contents }],
      [this.#images.get(ratio) as GraphOutput],
      [],
      { inOneThread: true, into: [pixels] },
    );
    const [height = 0, width = 0] = image?.shape ?? [];
    return { width, height, pixels: image?.data as Uint8Array };
  }
}

let decoder: JpegDecoder | undefined;

/**
 * Decodes a JPEG file in grey, YCbCr or RGB, reduced by `ratio`; colour profiles and orientation are not applied.
 * @param pixels receives the pixels, all of them; a new array by default
 * @throws TensorFlowError for a file that libjpeg does not read; EngineError when libtensorflow is missing
 */
export function decodeJpeg(data: Uint8Array, ratio: JpegRatio, pixels?: Uint8Array): Promise<DecodedJpeg> {
  decoder ??= new JpegDecoder();
  return decoder.decode(data, ratio, pixels);
}
