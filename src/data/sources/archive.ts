// Images in WebDataset tars. Files of one stem are one example: KEY.jpg with KEY.txt, KEY.json or KEY.cls.
// An archive is read once for its index, which takes its headers and captions; later each image is read at its offset.

import { type FileHandle, open } from 'node:fs/promises';
import { posix } from 'node:path';
import { DataError } from '../../util/errors.ts';
import { readError } from '../../util/files.ts';
import { printable } from '../../util/printable.ts';
import type { CaptionedImage } from '../image.ts';
import { findCaptions, MAX_TEXT_BYTES } from './captions.ts';
import { type CaptionExtension, extensionOf, isHidden, normalized, roleOf } from './endings.ts';
import type { Faults } from './faults.ts';
import type { ReadOptions } from './source.ts';
import { TarError, type TarMember, tarMembers } from './tar-headers.ts';

/** Bound on an archive of an index in memory. */
const MAX_MEMBERS = 10_000_000;

/** The members that an archive's index keeps: images and captions, in their order. */
interface Member {
  /** Without a leading `./`. */
  readonly name: string;
  readonly offset: number;
  readonly size: number;
}

interface ArchiveOptions extends Pick<ReadOptions, 'captions' | 'faults' | 'signal'> {
  /** The first part of the images' keys. */
  readonly prefix: string;
  /** The archive's name in messages, where it is not `path`: that of a URL whose copy `path` is. */
  readonly name?: string;
}

/**
 * The images of an archive, in its order; keys begin with the archive's name. What cannot be used is recorded; of an
 * archive that is damaged, the members before the damage are read.
 * @throws DataError when the archive cannot be read, or is damaged before its first member
 */
export async function readArchive(path: string, options: ArchiveOptions): Promise<CaptionedImage[]> {
  const { name: shown = path } = options;
  const file = await open(path, 'r').catch((cause: unknown) => {
    throw readError(cause, shown, 'archive', 'copy the archive again, or leave it out');
  });
  try {
    const members = await listMembers(file, shown, options);
    return await examplesOf(file, members, { ...options, path, shown });
  } finally {
    await file.close();
  }
}

async function listMembers(
  file: FileHandle,
  shown: string,
  { faults, signal }: ArchiveOptions,
): Promise<ReadonlyMap<string, Member>> {
  const kept = new Map<string, Member>();
  /** All files, which links may lead to. */
  const files = new Map<string, Member>();
  let count = 0;
  try {
    for await (const member of tarMembers(file)) {
      signal?.throwIfAborted();
      if (++count > MAX_MEMBERS) throw new TarError(`more than ${MAX_MEMBERS} members`);
      const found = resolveMember(member, files, shown, faults);
      if (found === undefined) continue;
      files.set(found.name, found);
      const role = roleOf(extensionOf(found.name));
      const where = `${shown}/${found.name}`;
      if (isHidden(found.name)) faults?.record({ kind: 'hidden', where });
      else if (role === 'other') faults?.record({ kind: 'other-file', where });
      else if (role === 'other-image') faults?.record({ kind: 'image-ending', where });
      else {
        // As when the archive is unpacked, a later file replaces an earlier one of its name.
        if (kept.has(found.name)) faults?.record({ kind: 'replaced', where });
        kept.set(found.name, found);
      }
    }
  } catch (error) {
    if (!(error instanceof TarError)) throw unreadable(error, shown);
    if (count === 0) throw damaged(error, shown);
    faults?.record({ kind: 'cut-archive', where: shown, reason: `not a whole tar file: ${error.message}` });
  }
  return kept;
}

/** The file that a member is or links to; undefined for one without contents, which is recorded unless it is a folder. */
function resolveMember(
  { name, type, target, offset, size }: TarMember,
  files: ReadonlyMap<string, Member>,
  shown: string,
  faults: Faults | undefined,
): Member | undefined {
  const plain = inside(name);
  if (type === 'file') return { name: plain, offset, size };
  if (type === 'folder') return undefined;
  const where = `${shown}/${plain}`;
  if (type === 'hard-link' || type === 'link') {
    const at = inside(type === 'link' ? posix.join(posix.dirname(plain), target) : target);
    const file = files.get(posix.normalize(at));
    if (file) return { ...file, name: plain };
    faults?.record({
      kind: 'archive-member',
      where,
      reason: printable(`a link to ${target}, which is not before it`),
    });
  } else if (type === 'sparse') {
    faults?.record({ kind: 'archive-member', where, reason: 'a sparse file, packed with holes' });
  } else {
    faults?.record({ kind: 'other-file', where });
  }
  return undefined;
}

interface Example {
  readonly images: Member[];
  readonly captions: Partial<Record<CaptionExtension, Member>>;
}

async function examplesOf(
  file: FileHandle,
  members: ReadonlyMap<string, Member>,
  {
    captions,
    faults,
    prefix,
    path,
    shown,
  }: ArchiveOptions & { readonly path: string; readonly shown: string },
): Promise<CaptionedImage[]> {
  const stems = stemsOf([...members.values()], shown, faults);
  const examples = new Map<string, Example & { readonly stem: string }>();
  for (const [{ name }, stem] of stems) {
    const form = normalized(stem);
    const example = examples.get(form) ?? { stem, images: [], captions: {} };
    examples.set(form, example);
    const member = members.get(name) as Member;
    const extension = extensionOf(name);
    if (roleOf(extension) === 'image') example.images.push(member);
    else example.captions[extension as CaptionExtension] ??= member;
  }
  const images: CaptionedImage[] = [];
  for (const example of examples.values()) {
    if (example.images.length === 0) {
      for (const { name } of Object.values(example.captions))
        faults?.record({ kind: 'orphan-caption', where: `${shown}/${name}` });
      continue;
    }
    const found = captions === 'ignore' ? { captions: [] } : await readCaptions(file, example, shown, faults);
    const isTwin = example.images.length > 1;
    for (const { name, offset, size } of example.images) {
      if (isTwin) faults?.record({ kind: 'twin', where: `${shown}/${name}` });
      const stem = name.slice(0, -extensionOf(name).length);
      images.push({
        key: `${prefix}/${isTwin ? name : stem}`,
        path: `${shown}/${name}`,
        ...found,
        region: { path, offset, length: size },
      });
    }
  }
  return images;
}

/** The example's captions; texts that are no captions are recorded. */
async function readCaptions(
  file: FileHandle,
  { captions: members }: Example,
  shown: string,
  faults: Faults | undefined,
): Promise<Pick<CaptionedImage, 'captions' | 'lack' | 'label'>> {
  const { extension, reason, ...found } = await findCaptions(members, async ({ offset, size }) => {
    const bytes = new Uint8Array(Math.min(size, MAX_TEXT_BYTES + 1));
    await file.read(bytes, 0, bytes.length, offset);
    return bytes;
  });
  if (reason !== undefined && extension !== undefined)
    faults?.record({
      kind: 'unreadable-caption',
      where: `${shown}/${members[extension]?.name}`,
      reason,
    });
  return found;
}

/**
 * Each image and caption with its stem. In WebDataset a stem ends at the first dot of a file name, and the rest names a
 * part of the example: 000.seg.png is the part `seg.png` of 000. A longer stem is taken where it is clear: no file is
 * called by the short one, and the long one has a caption, or is the only image of the short one and does not end in a
 * word, as parts do ("Track 2.0 (clean).jpg"). Others are recorded.
 */
function stemsOf(members: readonly Member[], shown: string, faults?: Faults): [Member, stem: string][] {
  const isImage = (name: string): boolean => roleOf(extensionOf(name)) === 'image';
  const split = members.map((member): [Member, short: string, long: string] => {
    const { name } = member;
    const dot = name.indexOf('.', name.lastIndexOf('/') + 1);
    return [member, name.slice(0, dot), name.slice(0, -extensionOf(name).length)];
  });
  const plain = new Set(split.flatMap(([, short, long]) => (short === long ? [normalized(short)] : [])));
  const captioned = new Set(split.flatMap(([{ name }, , long]) => (isImage(name) ? [] : [normalized(long)])));
  const images = new Map<string, number>();
  for (const [{ name }, short] of split) if (isImage(name)) images.set(short, (images.get(short) ?? 0) + 1);
  return split.flatMap(([member, short, long]): [Member, string][] => {
    if (short === long) return [[member, long]];
    const isOther = plain.has(normalized(short));
    const where = `${shown}/${member.name}`;
    if (!isImage(member.name)) {
      if (!isOther) return [[member, long]];
      faults?.record({ kind: 'other-file', where });
    } else if (isOther) faults?.record({ kind: 'other-file', where });
    else if (
      captioned.has(normalized(long)) ||
      (images.get(short) === 1 && !isWord(long.slice(short.length + 1)))
    )
      return [[member, long]];
    else {
      const reason = `the key is ${short}, the part ${member.name.slice(short.length + 1)}; rename it, or add ${long}.txt`;
      faults?.record({ kind: 'unclear-key', where, reason });
    }
    return [];
  });
}

/** Whether the rest of a stem may name a part of an example: seg, depth, image_2. */
const isWord = (rest: string): boolean => /^[a-z_]\w*$/i.test(rest);

const FIX = 'copy the archive again, or leave it out';

const damaged = ({ message }: TarError, where: string): DataError =>
  new DataError(`not a whole tar file: ${message}`, { code: 'E_ARCHIVE_DAMAGED', where, fix: FIX });

function unreadable(cause: unknown, where: string): unknown {
  return (cause as NodeJS.ErrnoException).syscall === undefined
    ? cause
    : readError(cause, where, 'archive', FIX);
}

/** A member's name without what would lead out of the archive, `/` and `..`, as tar unpacks it. */
const inside = (name: string): string => posix.join('/', name).slice(1);
