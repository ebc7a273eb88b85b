// Random streams on the host, for shuffling, cropping, picking and seeding. A stream is keyed by (seed, purpose, …):
// the same key gives the same numbers on every machine, and streams are independent of each other. Randomness inside a
// graph is in engine/ops/random.ts.

/** FNV-1a over the key parts, then two rounds of SplitMix64: a 64-bit state for one stream. */
function hashKey(parts: readonly (string | number)[]): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(parts.join('\u0000'), 'utf8')) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  return mix64(mix64(hash));
}

function mix64(value: bigint): bigint {
  let z = BigInt.asUintN(64, value + 0x9e3779b97f4a7c15n);
  z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
  z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
  return z ^ (z >> 31n);
}

/** The two 32-bit integers that key TensorFlow's StatelessRandom* ops. */
export function graphSeed(...parts: readonly (string | number)[]): Int32Array {
  const hash = hashKey(parts);
  return Int32Array.of(Number(BigInt.asIntN(32, hash)), Number(BigInt.asIntN(32, hash >> 32n)));
}

/** A deterministic stream of random numbers (sfc32). */
export class RandomStream {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(...key: readonly (string | number)[]) {
    const hash = hashKey(key);
    this.#a = Number(hash & 0xffffffffn) | 0;
    this.#b = Number(hash >> 32n) | 0;
    this.#c = Number(mix64(hash) & 0xffffffffn) | 0;
    for (let i = 0; i < 12; i++) this.uint32();
  }

  /** Uniform over 0 … 2³² − 1. */
  uint32(): number {
    const t = (this.#a + this.#b + this.#counter++) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + t;
    return t >>> 0;
  }

  /** Uniform over [0, 1). */
  uniform(low = 0, high = 1): number {
    return low + (high - low) * (this.uint32() / 2 ** 32);
  }

  /** Uniform integer over 0 … bound − 1. */
  integer(bound: number): number {
    return Math.floor((this.uint32() / 2 ** 32) * bound);
  }

  choice<T>(items: readonly T[]): T {
    if (items.length === 0) throw new RangeError('choice of an empty list');
    return items[this.integer(items.length)] as T;
  }

  /** Standard normal (Box–Muller). */
  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform());
  }

  /** Fisher–Yates, in place. */
  shuffle<T extends { [index: number]: unknown; length: number }>(items: T): T {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      const swap = items[i];
      items[i] = items[j];
      items[j] = swap;
    }
    return items;
  }
}
