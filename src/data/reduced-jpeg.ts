// JPEG files by libtensorflow's decoder instead of sharp's: the same pixels in half the time, and reduced while they are
// decoded also where sharp decodes all of them (frame.ts: `jpegRatio`).

import { TensorFlowError } from '../engine/native/capi.ts';
import { type DecodedJpeg, decodeJpeg, type JpegRatio } from '../engine/session/jpeg.ts';

/** Decodes a JPEG file, reduced by a ratio, into `pixels` where they are given; undefined for one that it cannot decode. */
export type JpegDecoder = (
  data: Uint8Array,
  ratio: JpegRatio,
  pixels?: Uint8Array,
) => Promise<DecodedJpeg | undefined>;

/** See `JpegDecoder`. What is wrong with a file that it cannot decode, sharp says. */
export const decodeReducedJpeg: JpegDecoder = async (data, ratio, pixels) => {
  try {
    return await decodeJpeg(data, ratio, pixels);
  } catch (error) {
    if (error instanceof TensorFlowError) return undefined;
    throw error;
  }
};
