// Whether an image was packed before: the same bytes, or nearly the same look.

import { HashTable } from '../check/hash-table.ts';
import { Looks } from '../check/near-duplicates.ts';
import type { PackSettings } from './manifest.ts';
import type { PreparedImage } from './prepare.ts';

type Hashes = Pick<PreparedImage, 'sha256' | 'look'>;

export class Duplicates {
  readonly #kind: PackSettings['deduplicate'];
  readonly #files = new HashTable();
  readonly #looks = new Looks();

  constructor(kind: PackSettings['deduplicate']) {
    this.#kind = kind;
  }

  /** Whether the image is a copy of one that was told of before; remembers it otherwise. */
  isCopy({ sha256, look }: Hashes): boolean {
    if (this.#kind === 'none') return false;
    const hash = Buffer.from(sha256, 'hex');
    if (this.#files.get(hash) !== undefined) return true;
    if (this.#kind === 'near' && look && this.#looks.find(look) !== undefined) return true;
    this.#files.add(hash, this.#files.size);
    if (this.#kind === 'near' && look) this.#looks.add(look);
    return false;
  }
}
