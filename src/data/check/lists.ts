// What a report lists: counts of all, and the first ones by name, so that its size does not follow that of the data.

/** Entries that are listed of each kind, and groups. */
export const MAX_LISTED = 1000;
/** Names listed in all groups together. */
const MAX_IN_GROUPS = 10_000;

/** How many there are, and the first ones. */
export interface Listed<T = string> {
  readonly count: number;
  readonly first: readonly T[];
}

/** Groups of images, of which the first are listed; `images` counts those beyond the first of each group. */
export interface Groups {
  readonly images: number;
  readonly first: readonly (readonly string[])[];
}

export class List<T = string> {
  readonly #max: number;
  #count = 0;
  readonly #first: T[] = [];

  constructor(max = MAX_LISTED) {
    this.#max = max;
  }

  /** Counts an entry. @returns whether it is listed */
  add(entry: T): boolean {
    this.#count++;
    if (this.#first.length === this.#max) return false;
    this.#first.push(entry);
    return true;
  }

  get listed(): Listed<T> {
    return { count: this.#count, first: this.#first };
  }
}

/** Groups by the number of their first image. */
export class GroupList {
  #images = 0;
  #names = 0;
  readonly #groups = new Map<number, string[]>();

  /**
   * Counts a copy of the image `first`.
   * @param nameOf asked for the name of the first image when a group begins
   * @returns whether it is listed
   */
  async add(first: number, copy: string, nameOf: (image: number) => Promise<string>): Promise<boolean> {
    this.#images++;
    if (this.#names === MAX_IN_GROUPS) return false;
    let group = this.#groups.get(first);
    if (group === undefined) {
      if (this.#groups.size === MAX_LISTED) return false;
      group = [await nameOf(first)];
      this.#groups.set(first, group);
    }
    this.#names++;
    group.push(copy);
    return true;
  }

  get groups(): Groups {
    const inOrder = [...this.#groups].sort(([a], [b]) => a - b);
    return { images: this.#images, first: inOrder.map(([, names]) => names) };
  }
}
