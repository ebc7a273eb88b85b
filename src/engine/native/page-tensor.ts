// Tensors in separate pages, for weights: a file is read straight into the memory that TensorFlow uses, and the pages
// go back to the system once TensorFlow needs the tensor no more. In the heap, matrices that are given back one by one
// (`releases`) would leave holes. Huge pages (madvise) do not pay: see docs/LOG.md.

import type { ElementType, HostArray } from '../../util/element-types.ts';
import { sizeOf } from '../../util/shape.ts';
import { capi, type Pointer } from './capi.ts';
import { arrayType, DT, elementBytes } from './dtype.ts';
import { koffi } from './koffi.ts';
import type { HostTensor } from './tensor.ts';

/** Smaller tensors stay in the heap. */
const MIN_BYTES = 2 ** 20;

// Linux's numbers of <sys/mman.h>.
const READ_WRITE = 0x1 | 0x2;
const PRIVATE_ANONYMOUS = 0x02 | 0x20;

/** A tensor to be filled through `data`, then fed to one run. */
export class PageTensor implements HostTensor {
  readonly dtype: ElementType;
  readonly shape: readonly number[];
  #data: HostArray | undefined;
  readonly #native: Pointer;

  private constructor(dtype: ElementType, shape: readonly number[], data: HostArray, native: Pointer) {
    this.dtype = dtype;
    this.shape = shape;
    this.#data = data;
    this.#native = native;
  }

  /** @returns undefined where there are no such pages: for small tensors, on other systems than Linux, for want of memory */
  static allocate(dtype: ElementType, shape: readonly number[]): PageTensor | undefined {
    const bytes = sizeOf(shape) * elementBytes(DT[dtype]);
    if (process.platform !== 'linux' || bytes < MIN_BYTES) return undefined;
    const { mmap, munmap } = memory();
    const address = mmap(null, bytes, READ_WRITE, PRIVATE_ANONYMOUS, -1, 0);
    if (address === null || BigInt.asIntN(64, address) === -1n) return undefined;
    const dims = shape.map(BigInt);
    const native = capi().newTensor(DT[dtype], dims, dims.length, address, bytes, munmap, null);
    const data = new (arrayType(DT[dtype]) as unknown as new (b: ArrayBuffer) => HostArray)(
      koffi.view(address, bytes),
    );
    return new PageTensor(dtype, shape, data, native);
  }

  /** @throws Error when the tensor was fed to a run */
  get data(): HostArray {
    if (!this.#data) throw new Error('a tensor that was fed to a run belongs to TensorFlow');
    return this.#data;
  }

  /** The native tensor, which the caller deletes. */
  take(): Pointer {
    if (!this.#data) throw new Error('a page tensor is fed to one run only');
    this.#data = undefined;
    return this.#native;
  }
}

let functions: ReturnType<typeof declare> | undefined;
const memory = () => (functions ??= declare());

function declare() {
  const libc = koffi.load('libc.so.6');
  const dlsym = koffi.load(null).func('void* dlsym(void*, const char*)') as (
    library: null,
    name: string,
  ) => Pointer;
  return {
    mmap: libc.func('void* mmap(void*, size_t, int, int, int, int64_t)') as (
      ...args: [null, number, number, number, number, number]
    ) => Pointer | null,
    /** As a deallocator: TensorFlow calls it with a third argument, which it does not read. */
    munmap: dlsym(null, 'munmap'),
  };
}
