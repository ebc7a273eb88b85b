// Kinds of findings in a source: faults, which are data that cannot be used, and parts left out on purpose.

import type { CaptionLack, ImageFaultKind } from '../image.ts';

export type FaultKind =
  | ImageFaultKind
  | CaptionLack
  | 'cut-archive'
  | 'damaged-list'
  | 'archive-member'
  | 'unclear-key'
  | 'list-row'
  | 'image-ending'
  | 'no-label';

/** Left out or decided by a rule, and said; none of these counts towards `maxBad`. */
export type NoteKind =
  | 'hidden'
  | 'other-file'
  | 'orphan-caption'
  | 'twin'
  | 'replaced'
  | 'link-again'
  | 'caption-elsewhere'
  | 'quotes-kept'
  | 'sample-grid'
  | 'test-split';

export type FindingKind = FaultKind | NoteKind;

/** Each kind in words that follow a count. */
const FAULTS: Readonly<Record<FaultKind, string>> = {
  'damaged-image': 'truncated or damaged images',
  'unreadable-file': 'image files that are missing or cannot be read',
  'image-format': 'images of a kind that is not decoded',
  'image-size': 'images that are too small or too large',
  'not-an-image': 'files that are no image, whatever their name says',
  'no-caption': 'images without a caption',
  'empty-caption': 'images with an empty caption',
  'unreadable-caption': 'captions that are not UTF-8 text',
  'cut-archive': 'archives that are cut short or damaged',
  'damaged-list': 'lists, or other files of a source, that cannot be used',
  'archive-member': 'members of archives that cannot be used',
  'unclear-key': 'images in archives whose key has a dot and may be part of another example',
  'list-row': 'rows of lists that cannot be used',
  'image-ending': 'image files with an extension that is not read',
  'no-label': 'images without a label',
};

const NOTES: Readonly<Record<NoteKind, string>> = {
  hidden: 'hidden files, whose name or folder begins with a dot',
  'other-file': 'other files',
  'orphan-caption': 'captions without an image',
  twin: 'images that share their name but for the extension; all are used, with the same captions',
  replaced: 'members of archives that a later one of the same name replaces',
  'link-again': 'links to folders that are read already',
  'caption-elsewhere': 'captions from another folder, matched by name',
  'quotes-kept': 'lists whose quotation marks are read as characters',
  'sample-grid': 'grids of all samples, which mm sample writes beside them',
  'test-split': 'images of the test split, which training leaves out',
};

export const FINDINGS: Readonly<Record<FindingKind, string>> = { ...FAULTS, ...NOTES };

export const isFault = (kind: FindingKind): kind is FaultKind => kind in FAULTS;

/** Why one file is at fault, for kinds that say it all. */
export const REASONS: Partial<Readonly<Record<FindingKind, string>>> = {
  'no-caption': 'it has no caption',
  'empty-caption': 'its caption is empty',
  'image-ending': 'its extension is not read',
  'no-label': 'it has no label',
};
