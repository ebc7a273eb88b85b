// Images that are named for what they are, by their first bytes and by what they hold, instead of being called damaged.

import type { Metadata } from 'sharp';
import { CONTENT_BYTES, type Content, contentOf } from './content.ts';
import { ImageFault, type ImageFaultKind } from './image.ts';

/** What a file is that has an image's name, and what to do; kinds that are not here are decoded. */
const REFUSED: Partial<Readonly<Record<Content, readonly [ImageFaultKind, string]>>> = {
  empty: ['not-an-image', 'an empty file, not an image'],
  'lfs-pointer': ['not-an-image', 'a Git LFS pointer, not the image itself: git lfs pull'],
  'web-page': ['not-an-image', 'a web page, not an image'],
  gzip: ['not-an-image', 'a gzip file, not an image'],
  zip: ['not-an-image', 'a zip archive, not an image'],
  tar: ['not-an-image', 'a tar, not an image'],
  pdf: ['not-an-image', 'a PDF, not an image'],
  heic: ['image-format', 'HEIC, which is not decoded; convert it to JPEG or PNG'],
  jxl: ['image-format', 'JPEG XL, which is not decoded; convert it to JPEG or PNG'],
  jp2: ['image-format', 'JPEG 2000, which is not decoded; convert it to JPEG or PNG'],
  psd: ['image-format', 'a Photoshop file, which is not decoded; convert it to PNG'],
  svg: ['image-format', 'SVG, a drawing without pixels, which is not rendered; convert it to PNG'],
  ico: ['image-format', 'an icon file, which is not decoded; convert it to PNG'],
  netpbm: ['image-format', 'a PPM or PGM file, which is not decoded; convert it to PNG'],
  exr: ['image-format', 'OpenEXR, whose values have no fixed range; convert it to an 8-bit or 16-bit image'],
  hdr: [
    'image-format',
    'Radiance HDR, whose values have no fixed range; convert it to an 8-bit or 16-bit image',
  ],
  dds: ['image-format', 'a DirectDraw surface, which is not decoded; convert it to PNG'],
};

/** Throws ImageFault for a file that is no image, or of a kind that is not decoded. */
export function assertDecodable(data: Uint8Array): void {
  const refused = REFUSED[contentOf(data.subarray(0, CONTENT_BYTES))];
  if (refused) throw new ImageFault(refused[1], { kind: refused[0] });
}

/** Throws ImageFault for pixels whose range or colours nothing in the file says. */
export function assertKnownPixels({ depth, space, channels, format }: Metadata): void {
  const refuse = (text: string): never => {
    throw new ImageFault(text, { kind: 'image-format' });
  };
  // PNG, JPEG and WebP are widened to other depths by no decoder; only TIFF holds such numbers.
  if (depth === 'float' || depth === 'double' || depth === 'complex' || depth === 'dpcomplex')
    refuse('floating-point values, whose range is not known; convert it to an 8-bit or 16-bit image');
  if (depth === 'uint' || depth === 'int' || depth === 'short' || depth === 'char')
    refuse(`values of type ${depth}, whose range is not known; convert it to an 8-bit or 16-bit image`);
  if (space === 'lab' || space === 'labq' || space === 'labs')
    refuse('Lab colours, which are not decoded; convert it to RGB');
  const most = space === 'cmyk' ? 5 : space === 'b-w' || space === 'grey16' ? 2 : 4;
  if (channels > most)
    refuse(`${channels} channels (${format}), more than colours and alpha; convert it to RGB`);
}

/** Whether a file is a JPEG whose pixels are as they should be once it is decoded: no colour profile, no CMYK. */
export const isPlainJpeg = ({ format, space, hasProfile }: Metadata): boolean =>
  format === 'jpeg' && !hasProfile && (space === 'srgb' || space === 'b-w');

/** Whether a JPEG file ends with its end marker. libtensorflow writes a line to stderr for each one that is cut off. */
export const isWholeJpeg = (data: Uint8Array): boolean => data.at(-2) === 0xff && data.at(-1) === 0xd9;
