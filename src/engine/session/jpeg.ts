// JPEG files decoded by libtensorflow: its libjpeg-turbo takes half the time of sharp's decoder, and reduces to exactly
// a half or a quarter in the transform, which sharp does only when more than that is asked for.

import { availableParallelism } from 'node:os';
import { boolAttr, intAttr, stringAttr } from '../graph/attributes.ts';
import { Graph } from '../graph/graph.ts';
import type { GraphOutput } from '../native/capi.ts';
import { DT } from '../native/dtype.ts';
import { sessionConfig } from '../native/session-config.ts';
import { Session } from './session.ts';

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

/** A file to decode. */
interface Request {
  readonly data: Uint8Array;
  readonly ratio: JpegRatio;
  readonly pixels: Uint8Array | undefined;
  resolve(image: DecodedJpeg): void;
  reject(error: unknown): void;
}

/** Files that one run decodes, one after the other: to start a run takes a tenth of the time of a small file. */
const MAX_FILES = 4;
/** Runs at a time: Node has four threads for them. */
const MAX_RUNS = Math.min(4, availableParallelism());

/** The nodes of a file of a run. */
interface FileNodes {
  readonly contents: GraphOutput;
  readonly images: ReadonlyMap<JpegRatio, GraphOutput>;
}

class JpegDecoder {
  readonly #session: Session;
  readonly #nodes: readonly FileNodes[];
  #running = 0;
  #waiting: Request[] = [];

  constructor() {
    const graph = new Graph();
    graph.device = '/device:CPU:0';
    this.#nodes = Array.from({ length: MAX_FILES }, () => {
      const contents = graph.placeholder(DT.string, []);
      return {
        contents,
        images: new Map(RATIOS.map((ratio) => [ratio, decodeNode(graph, contents, ratio)])),
      };
    });
    this.#session = new Session(graph, sessionConfig({ gpus: 0 }));
  }

  decode(data: Uint8Array, ratio: JpegRatio, pixels?: Uint8Array): Promise<DecodedJpeg> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ data, ratio, pixels, resolve, reject });
      this.#start();
    });
  }

  /** Starts a run of those that wait, where one may start. */
  #start(): void {
    const [first] = this.#waiting;
    if (first === undefined || this.#running >= MAX_RUNS) return;
    const files = this.#waiting.filter(({ ratio }) => ratio === first.ratio).slice(0, MAX_FILES);
    this.#waiting = this.#waiting.filter((request) => !files.includes(request));
    this.#running++;
    void this.#decodeAll(files).then(() => {
      this.#running--;
      this.#start();
    });
  }

  async #decodeAll(files: readonly Request[]): Promise<void> {
    try {
      const images = await this.#run(files);
      for (const [i, { resolve }] of files.entries()) resolve(images[i] as DecodedJpeg);
    } catch (error) {
      // A file that cannot be decoded fails the run of all.
      if (files.length === 1) files[0]?.reject(error);
      else for (const file of files) await this.#decodeAll([file]);
    }
  }

  async #run(files: readonly Request[]): Promise<DecodedJpeg[]> {
    const nodes = this.#nodes.slice(0, files.length);
    const images = await this.#session.run(
      'decode JPEG',
      files.map(({ data }, i) => ({
        output: (nodes[i] as FileNodes).contents,
        value: { dtype: 'string', shape: [], data: [data] },
      })),
      files.map(({ ratio }, i) => (nodes[i] as FileNodes).images.get(ratio) as GraphOutput),
      [],
      { inOneThread: true, into: files.map(({ pixels }) => pixels) },
    );
    return images.map(({ shape: [height = 0, width = 0], data }) => ({
      ...{ width, height },
      pixels: data as Uint8Array,
    }));
  }
}

function decodeNode(graph: Graph, contents: GraphOutput, ratio: JpegRatio): GraphOutput {
  return graph.output('DecodeJpeg', [contents], {
    attributes: [
      intAttr('channels', 3),
      intAttr('ratio', ratio),
      boolAttr('fancy_upscaling', true),
      boolAttr('try_recover_truncated', false),
      stringAttr('dct_method', 'INTEGER_ACCURATE'),
    ],
  });
}

let decoder: JpegDecoder | undefined;

/**
 * Decodes a JPEG file in grey, YCbCr or RGB, reduced by `ratio`; colour profiles and orientation are not applied.
 * @param pixels receives the pixels where it has their number; otherwise a new array does
 * @throws TensorFlowError for a file that libjpeg does not read; EngineError when libtensorflow is missing
 */
export function decodeJpeg(data: Uint8Array, ratio: JpegRatio, pixels?: Uint8Array): Promise<DecodedJpeg> {
  decoder ??= new JpegDecoder();
  return decoder.decode(data, ratio, pixels);
}
