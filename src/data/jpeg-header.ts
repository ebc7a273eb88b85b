// The header of a JPEG file without EXIF, colour profile or Adobe marker, as most data sets of the web have them: read
// here in a few steps from marker to marker. What is anything else, sharp reads.

import type { Metadata } from 'sharp';

/** What decoding has to know of a file. */
export type ImageHeader = Pick<
  Metadata,
  'format' | 'width' | 'height' | 'space' | 'channels' | 'depth' | 'hasProfile'
> &
  Partial<Pick<Metadata, 'isProgressive' | 'orientation' | 'compression'>>;

/** Second bytes of markers (ITU-T T.81, table B.1). */
const MARKER = {
  baseline: 0xc0,
  progressive: 0xc2,
  huffmanTables: 0xc4,
  start: 0xd8,
  scan: 0xda,
  quantizationTables: 0xdb,
  restartInterval: 0xdd,
  jfif: 0xe0,
  comment: 0xfe,
} as const;
/** Segments that change nothing of what is said here. */
const PASSED: ReadonlySet<number> = new Set([
  MARKER.huffmanTables,
  MARKER.quantizationTables,
  MARKER.restartInterval,
  MARKER.jfif,
  MARKER.comment,
]);

/** The header of such a file, in grey or three channels of 8 bits; undefined for any other. */
export function jpegHeader(data: Uint8Array): ImageHeader | undefined {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (data.length < 4 || view.getUint16(0) !== (0xff00 | MARKER.start)) return undefined;
  let frame: ImageHeader | undefined;
  for (let at = 2; at + 4 <= data.length; at += 2 + view.getUint16(at + 2)) {
    const marker = data[at + 1] as number;
    if (data[at] !== 0xff) return undefined;
    if (marker === MARKER.scan) return frame;
    if (marker === MARKER.baseline || marker === MARKER.progressive) {
      if (frame !== undefined || at + 10 > data.length) return undefined;
      frame = frameHeader(view, at, marker === MARKER.progressive);
      if (frame === undefined) return undefined;
    } else if (!PASSED.has(marker)) return undefined;
  }
  return undefined;
}

function frameHeader(view: DataView, at: number, isProgressive: boolean): ImageHeader | undefined {
  const [bits, height, width] = [view.getUint8(at + 4), view.getUint16(at + 5), view.getUint16(at + 7)];
  const channels = view.getUint8(at + 9);
  if (bits !== 8 || height === 0 || width === 0 || (channels !== 1 && channels !== 3)) return undefined;
  const space = channels === 1 ? 'b-w' : 'srgb';
  return { format: 'jpeg', width, height, space, channels, depth: 'uchar', hasProfile: false, isProgressive };
}
