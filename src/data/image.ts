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
  /** The file that the captions come from, where it is not the image's own name. */
  readonly captionFile?: string;
  /** Why `captions` is empty; 'no-caption' when it is not said. */
  readonly lack?: CaptionLack;
  /** The class of the image, where the source has one (.cls in tars, a label column). */
  readonly label?: string;
  /** The part of the data set, where the source has several: Karpathy's splits, or a separate validation source. */
  readonly split?: 'train' | 'validation' | 'test';
  /** Times that an epoch of training has the image; 1 by default. */
  readonly weight?: number;
}

/** Why an image has no caption. */
export type CaptionLack = 'no-caption' | 'empty-caption' | 'unreadable-caption';

/** Some bytes of a file. */
export interface ByteRange {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
}

/** Kinds of images that cannot be used. */
export type ImageFaultKind =
  | 'damaged-image'
  | 'unreadable-file'
  | 'image-format'
  | 'image-size'
  | 'not-an-image';

/** An image file that cannot be used; the message is the reason in a few words. */
export class ImageFault extends Error {
  readonly kind: ImageFaultKind;

  constructor(message: string, { kind, cause }: { kind: ImageFaultKind; cause?: unknown }) {
    super(message, { cause });
    this.kind = kind;
  }
}
