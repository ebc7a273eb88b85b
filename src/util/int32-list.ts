// Whole numbers in a typed array that grows: 4 bytes each, where an array of numbers or objects takes many times that.

export class Int32List {
  #values = new Int32Array(256);
  length = 0;

  /** Appends a 32-bit number; an unsigned one comes back signed. */
  push(value: number): void {
    if (this.length === this.#values.length) {
      const larger = new Int32Array(2 * this.length);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.length++] = value;
  }

  at(index: number): number {
    return this.#values[index] as number;
  }
}
