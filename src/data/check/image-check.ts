// What `mm data check` has seen so far: each image is added once, in the order of the source.

import { relative } from 'node:path';
import type { Tokenizer } from '../../tokenizers/tokenizer.ts';
import type { FindingKind } from '../sources/fault-kinds.ts';
import { CaptionCheck } from './captions.ts';
import { type Copy, NearlySame, SameContents } from './copies.ts';
import { List, MAX_LISTED } from './lists.ts';
import { RecordFile } from './record-file.ts';
import {
  asFound,
  type CheckedData,
  type ExaminedImage,
  type SeenImage,
  type SourceFindings,
  type UnusableFile,
} from './report.ts';
import { Sizes } from './sizes.ts';

/** Characters kept of a caption that a page may show. */
const MAX_CAPTION = 500;

export class ImageCheck {
  readonly #base: string;
  readonly #captions: CaptionCheck;
  readonly #seen = new RecordFile<SeenImage>();
  readonly #same = new SameContents();
  readonly #near = new NearlySame();
  readonly #sizes = new Sizes<SeenImage>();
  readonly #unusable = new List<UnusableFile>();
  readonly #byKind = new Map<FindingKind, List<UnusableFile>>();
  readonly #files = new Map<string, SeenImage>();
  #usable = 0;

  /** @param base folder that names are relative to */
  constructor(base: string, textLength: number, tokenizer: Tokenizer | undefined) {
    this.#base = base;
    this.#captions = new CaptionCheck(textLength, tokenizer);
  }

  get images(): number {
    return this.#seen.size;
  }

  async add(examined: ExaminedImage): Promise<void> {
    const { image, info, fault } = examined;
    const { captions, captionFile, lack, path, region } = image;
    const file = relative(this.#base, path);
    const seen = { file, image: { path, ...(region && { region }) }, info, caption: shown(captions[0]) };
    const number = this.images;
    await this.#seen.add(seen);
    const textFile = relative(this.#base, captionFile ?? path);
    if (this.#captions.add(textFile, captions, lack)) this.#keep(seen, textFile);
    if (fault) {
      const unusable = { file, ...fault };
      const kind = this.#byKind.get(fault.kind) ?? new List();
      this.#byKind.set(fault.kind, kind);
      this.#unusable.add(unusable);
      if (kind.add(unusable)) this.#keep(seen);
    }
    if (info) {
      this.#usable++;
      this.#sizes.add(info, seen);
    }
    const copy = await this.#compare(number, file, examined);
    if (!copy?.isListed) return;
    this.#keep(seen);
    this.#keep(await this.#seen.get(copy.first));
  }

  /** The earlier image that this one is a copy of, if any. */
  async #compare(number: number, file: string, { hash, look }: ExaminedImage): Promise<Copy | undefined> {
    if (!hash) return undefined;
    const nameOf = async (image: number): Promise<string> => (await this.#seen.get(image)).file;
    const same = await this.#same.add(number, file, hash, nameOf);
    return same ?? (look && this.#near.add(number, file, look, nameOf));
  }

  #keep(seen: SeenImage, name = seen.file): void {
    if (!this.#files.has(name)) this.#files.set(name, seen);
  }

  result(path: string, { orphans, damaged, found }: SourceFindings): CheckedData {
    const { extremes, small } = this.#sizes;
    for (const seen of [...extremes.first, ...small.first]) this.#keep(seen);
    const names = (listed: typeof small) => ({ ...listed, first: listed.first.map(({ file }) => file) });
    const unusable = this.#unusable.listed;
    const byKind = [...this.#byKind].map(([kind, list]) => [kind, list.listed] as const);
    return {
      report: {
        path,
        images: this.images,
        usable: this.#usable,
        unusable: {
          count: damaged.count + unusable.count,
          first: [...damaged.first, ...unusable.first].slice(0, MAX_LISTED),
        },
        findings: [
          ...byKind.map(([kind, { count, first }]) =>
            asFound(
              kind,
              count,
              first.map(({ file, reason }) => `${file}: ${reason}`),
            ),
          ),
          ...found,
        ],
        ...this.#sizes.report,
        duplicates: this.#same.groups,
        nearDuplicates: this.#near.groups,
        captions: this.#captions.report(orphans),
        limits: [...this.#same.limits, ...this.#near.limits, ...this.#captions.limits],
      },
      files: this.#files,
      extremes: names(extremes),
      small: names(small),
      unusable: new Map(damaged.count > 0 ? [['cut-archive', damaged], ...byKind] : byKind),
    };
  }

  close(): Promise<void> {
    return this.#seen.close();
  }
}

const shown = (caption: string | undefined): string | undefined =>
  caption !== undefined && caption.length > MAX_CAPTION ? `${caption.slice(0, MAX_CAPTION)}…` : caption;
