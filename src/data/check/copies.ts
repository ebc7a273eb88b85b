// Images with the same contents, and images that look nearly the same, in groups: each joins the group of the first one
// that it is like, so that a chain of small differences makes no group of different images.

import { Int32List } from '../../util/int32-list.ts';
import { HashTable } from './hash-table.ts';
import { GroupList, type Groups } from './lists.ts';
import { Looks } from './near-duplicates.ts';
import type { PerceptualHash } from './perceptual-hash.ts';

/** Different contents that are remembered, and different looks. */
const MAX_CONTENTS = 4_000_000;
const MAX_LOOKS = 1_000_000;

/** Asked for the name of an earlier image. */
export type NameOf = (image: number) => Promise<string>;

/** Images with the same contents. */
export class SameContents {
  readonly #max: number;
  readonly #firsts = new HashTable();
  readonly #list = new GroupList();
  #beyond = 0;

  constructor(max = MAX_CONTENTS) {
    this.#max = max;
  }

  /**
   * Compares an image with the earlier ones.
   * @param hash of its contents
   * @returns the earlier image with the same contents, and whether a group lists the two; undefined where there is none
   */
  async add(image: number, name: string, hash: Buffer, nameOf: NameOf): Promise<Copy | undefined> {
    const first = this.#firsts.get(hash);
    if (first !== undefined) return { first, isListed: await this.#list.add(first, name, nameOf) };
    if (this.#firsts.size < this.#max) this.#firsts.add(hash, image);
    else this.#beyond++;
    return undefined;
  }

  get groups(): Groups {
    return this.#list.groups;
  }

  /** What was not compared, in words. */
  get limits(): string[] {
    return limit('copies', this.#beyond, this.#max);
  }
}

export interface Copy {
  readonly first: number;
  readonly isListed: boolean;
}

/** Images that look nearly the same. */
export class NearlySame {
  readonly #max: number;
  readonly #looks = new Looks();
  /** The image of each look. */
  readonly #images = new Int32List();
  readonly #list = new GroupList();
  #beyond = 0;

  constructor(max = MAX_LOOKS) {
    this.#max = max;
  }

  /** As that of `SameContents`. */
  async add(image: number, name: string, look: PerceptualHash, nameOf: NameOf): Promise<Copy | undefined> {
    const found = this.#looks.find(look);
    if (found !== undefined) {
      const first = this.#images.at(found);
      return { first, isListed: await this.#list.add(first, name, nameOf) };
    }
    if (this.#looks.size === this.#max) this.#beyond++;
    else {
      this.#looks.add(look);
      this.#images.push(image);
    }
    return undefined;
  }

  get groups(): Groups {
    return this.#list.groups;
  }

  get limits(): string[] {
    return limit('near duplicates', this.#beyond, this.#max);
  }
}

/** Images that were not remembered, in words. */
export function limit(what: string, beyond: number, max: number): string[] {
  if (beyond === 0) return [];
  return [
    `${what}: ${beyond} images were compared with the first ${max} different ones, not with one another`,
  ];
}
