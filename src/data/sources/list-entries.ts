// An entry of a list of images, whatever the format of the list.

import type { FindingKind } from './fault-kinds.ts';
import type { TableOptions } from './source.ts';

/** Names of columns and keys in the lists of other programs. */
const IMAGE_NAMES = [
  'file',
  'file_name',
  'filename',
  'filepath',
  'file_path',
  'path',
  'image',
  'image_path',
  'image_file',
  'img',
  'img_path',
];
const CAPTION_NAMES = ['caption', 'text', 'title', 'captions'];
const LABEL_NAMES = ['label', 'class', 'category'];

export interface Entry {
  /** Relative to the list. */
  readonly file: string;
  readonly captions: readonly string[];
  /** Place in the list, for messages. */
  readonly where: string;
  readonly label?: string | undefined;
  readonly split?: 'train' | 'validation' | 'test' | undefined;
}

/** A part of a list that cannot be used. */
export interface BadEntry {
  readonly kind: FindingKind;
  readonly where: string;
  readonly reason: string;
}

/** What a list has: entries, and rows that cannot be used, in their order. */
export type ListEntries = readonly (Entry | BadEntry)[];

export const isBad = (entry: Entry | BadEntry): entry is BadEntry => 'kind' in entry;

export const badRow = (where: string, reason: string): BadEntry => ({ kind: 'list-row', where, reason });

/** A row that names no image: under which name it was looked for, and what there is. */
export const noImage = (where: string): BadEntry => badRow(where, 'it names no image');

/** Names under which columns are looked for: those that the user gave, or the usual ones. */
export interface ColumnNames {
  readonly image: readonly string[];
  readonly caption: readonly string[];
  readonly label: readonly string[];
}

export const columnNames = ({ imageColumn, captionColumn }: TableOptions = {}): ColumnNames => ({
  image: imageColumn === undefined ? IMAGE_NAMES : [imageColumn.toLowerCase()],
  caption: captionColumn === undefined ? CAPTION_NAMES : [captionColumn.toLowerCase()],
  label: LABEL_NAMES,
});

/** The index of the first column that has one of the names, in the order of the names; -1 when none has. */
export function findColumn(header: readonly string[], names: readonly string[]): number {
  const columns = header.map((name) => name.trim().toLowerCase());
  return names.map((name) => columns.indexOf(name)).find((index) => index >= 0) ?? -1;
}
