// Images as the sources list them and as decoding reads them.

/** An image file: a file by itself, or some bytes of an archive. */
export interface ImageFile {
  /** Its name in messages. */
  readonly path: string;
  /** Where it lies in an archive; without it, `path` is the file. */
  readonly region?: ByteRange;
}

export interface CaptionedImage extends ImageFile {
  /** Path relative to the folder, without the extension, with forward slashes. */
  readonly key: string;
  /** Empty: none. Of several captions, training picks one for each epoch (`pickCaption`). */
  readonly captions: readonly string[];
}

/** Some bytes of a file. */
export interface ByteRange {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
}

/** An image file that cannot be used; the message is the reason in a few words. */
export class ImageFault extends Error {}
