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

/** Each kind in words that follow a count; `{s}` is the plural's s. */
const FAULTS: Readonly<Record<FaultKind, string>> = {
  'damaged-image': 'truncated or damaged image{s}',
  'unreadable-file': 'missing or unreadable image file{s}',
  'image-format': 'image{s} of a kind that is not decoded',
  'image-size': 'image{s} with too few or too many pixels',
  'not-an-image': 'file{s} without an image inside, whatever the name says',
  'no-caption': 'image{s} without a caption',
  'empty-caption': 'image{s} with an empty caption',
  'unreadable-caption': 'caption{s} not in UTF-8',
  'cut-archive': 'archive{s} cut short or damaged',
  'damaged-list': 'unusable list{s} or other file{s} of a source',
  'archive-member': 'unusable member{s} of archives',
  'unclear-key': 'image{s} in archives whose key has a dot and may be part of another example',
  'list-row': 'unusable row{s} of lists',
  'image-ending': 'image file{s} with an extension that is not read',
  'no-label': 'image{s} without a label',
};

const NOTES: Readonly<Record<NoteKind, string>> = {
  hidden: 'hidden file{s}, whose name or folder begins with a dot',
  'other-file': 'other file{s}',
  'orphan-caption': 'caption{s} without an image',
  twin: 'image{s} with the name of another but for the extension; all are used, with the same captions',
  replaced: 'member{s} of archives replaced by a later one of the same name',
  'link-again': 'link{s} to folders that are read already',
  'caption-elsewhere': 'caption{s} from another folder, matched by name',
  'quotes-kept': 'list{s} whose quotation marks are read as characters',
  'sample-grid': 'grid{s} of all samples, which mm sample writes beside them',
  'test-split': 'image{s} of the test split, which training leaves out',
};

const FINDINGS: Readonly<Record<FindingKind, string>> = { ...FAULTS, ...NOTES };

/** A kind in words that follow `count`: "images without a caption", "image without a caption". */
export const findingText = (kind: FindingKind, count: number): string =>
  FINDINGS[kind].replaceAll('{s}', count === 1 ? '' : 's');

export const isFault = (kind: FindingKind): kind is FaultKind => kind in FAULTS;

/** Why one file is at fault, for kinds that say it all. */
export const REASONS: Partial<Readonly<Record<FindingKind, string>>> = {
  'no-caption': 'it has no caption',
  'empty-caption': 'its caption is empty',
  'image-ending': 'its extension is not read',
  'no-label': 'it has no label',
};
