// An image as sources name it and decoding reads it.

/** An image file: a file of its own, or some bytes of an archive. */
export interface ImageFile {
  /** Names it in messages. */
  readonly path: string;
  readonly region?: ByteRange;
}

export interface CaptionedImage {
  /** Path relative to the folder, without the extension, with forward slashes. */
  readonly key: string;
  readonly path: string;
  /** The first line of the same-stem `.txt`. */
  readonly caption: string | undefined;
  /** Its further lines: other captions of the image, as DALLE-pytorch has it. Training draws one of all each epoch. */
  readonly others?: readonly string[];
  /** The part of an archive that holds it, where it is not a file of its own. */
  readonly region?: ByteRange;
}

/** Some bytes of a file. */
export interface ByteRange {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
}

/** A file that cannot be used; the message is the reason, in a few words. */
export class ImageFault extends Error {}
