// Whether an image was packed before: the same bytes, or nearly the same look.

import { type Looks, looks } from '../check/near-duplicates.ts';
import type { PackSettings } from './manifest.ts';
import type { PreparedImage } from './prepare.ts';

type Hashes = Pick<PreparedImage, 'sha256' | 'look'>;

export class Duplicates {
  readonly #kind: PackSettings['deduplicate'];
  /** In memory, 32 bytes each as a string and a key. */
  readonly #files = new Set<string>();
  readonly #looks: Looks = looks();

  constructor(kind: PackSettings['deduplicate']) {
    this.#kind = kind;
  }

  /** Whether the image is a copy of one that was told of before; remembers it otherwise. */
  isCopy({ sha256, look }: Hashes): boolean {
    if (this.#kind === 'none') return false;
    if (this.#files.has(sha256)) return true;
    if (this.#kind === 'near' && look && this.#looks.find(look) !== undefined) return true;
    this.#files.add(sha256);
    if (this.#kind === 'near' && look) this.#looks.add(look);
    return false;
  }
}
