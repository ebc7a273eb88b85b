// Tensors in separate pages, for weights: pages of a file are mapped, or a file is read straight into the memory that
// TensorFlow uses, and the pages go back to the system once TensorFlow needs the tensor no more. In the heap, matrices
// that are given back one by one (`releases`) would leave holes. Huge pages (madvise) do not pay: see docs/LOG.md.
// Tensors are cut from large regions, which get memory where they are filled, as V8 collects garbage for each new array
// outside of its heap.

import type { ElementType, HostArray } from '../../util/element-types.ts';
import { sizeOf } from '../../util/shape.ts';
import { capi, type Pointer } from './capi.ts';
import { arrayType, DT, elementBytes } from './dtype.ts';
import { koffi } from './koffi.ts';
import type { HostTensor } from './tensor.ts';

/** Smaller tensors stay in the heap. */
const MIN_BYTES = 2 ** 20;
/** Address space taken at a time. */
const REGION_BYTES = 2 ** 30;
/** A multiple of every system's pages, which are 4 to 64 KB. */
const PAGE_BYTES = 2 ** 16;

// Linux's numbers of <sys/mman.h>.
const READ_WRITE = 0x1 | 0x2;
const PRIVATE_NORESERVE = 0x02 | 0x4000;
const [FIXED, ANONYMOUS] = [0x10, 0x20];
const POPULATE_READ = 22;

/** Address space, of which the first `used` bytes are given away. */
interface Region {
  readonly address: Pointer;
  readonly buffer: ArrayBuffer;
  used: number;
}
let region: Region | undefined;

/** `bytes` of the region, or of a new one; undefined where there is no memory. */
function cut(
  bytes: number,
): { readonly address: Pointer; readonly buffer: ArrayBuffer; readonly offset: number } | undefined {
  const whole = Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES;
  if (!region || region.used + whole > region.buffer.byteLength) {
    const size = Math.max(REGION_BYTES, whole);
    const address = memory().mmap(null, size, READ_WRITE, PRIVATE_NORESERVE | ANONYMOUS, -1, 0);
    if (address === null || BigInt.asIntN(64, address) === -1n) return undefined;
    region = { address, buffer: koffi.view(address, size), used: 0 };
  }
  const offset = region.used;
  region.used += whole;
  return { address: region.address + BigInt(offset), buffer: region.buffer, offset };
}

/** Where the bytes of a tensor are: in an open file, from `position` on. */
export interface FilePlace {
  readonly descriptor: number;
  readonly position: number;
}

/**
 * Puts the file's pages there: nothing is copied. Private, so that who writes gets a copy of the page.
 * @returns whether it did: not from a position within a page
 */
function mapFile(address: Pointer, bytes: number, { descriptor, position }: FilePlace): boolean {
  const { mmap } = memory();
  const flags = PRIVATE_NORESERVE | FIXED;
  if (mmap(address, bytes, READ_WRITE, flags, descriptor, position) === address) return true;
  mmap(address, bytes, READ_WRITE, flags | ANONYMOUS, -1, 0); // what was there may be gone
  return false;
}

/** A tensor in pages, to be fed to one run. */
export class PageTensor implements HostTensor {
  readonly dtype: ElementType;
  readonly shape: readonly number[];
  /** Whether its bytes are the file's; it is to be filled through `data` otherwise. */
  readonly isMapped: boolean;
  #data: HostArray | undefined;
  readonly #native: Pointer;

  private constructor(
    { dtype, shape }: Pick<HostTensor, 'dtype' | 'shape'>,
    isMapped: boolean,
    data: HostArray,
    native: Pointer,
  ) {
    this.dtype = dtype;
    this.shape = shape;
    this.isMapped = isMapped;
    this.#data = data;
    this.#native = native;
  }

  /**
   * @param from a place in a file, which is mapped where it starts a page. The file has to keep its length while the
   *   tensor is used: reading past its end ends the process (SIGBUS)
   * @returns undefined where there are no such pages: for small tensors, on other systems than Linux, for want of memory
   */
  static allocate(dtype: ElementType, shape: readonly number[], from?: FilePlace): PageTensor | undefined {
    const bytes = sizeOf(shape) * elementBytes(DT[dtype]);
    if (process.platform !== 'linux' || bytes < MIN_BYTES) return undefined;
    const place = cut(bytes);
    if (!place) return undefined;
    const isMapped = from !== undefined && mapFile(place.address, bytes, from);
    const dims = shape.map(BigInt);
    const { munmap } = memory();
    const native = capi().newTensor(DT[dtype], dims, dims.length, place.address, bytes, munmap, null);
    const array = arrayType(DT[dtype]) as unknown as new (
      ...args: [buffer: ArrayBuffer, offset: number, length: number]
    ) => HostArray;
    const data = new array(place.buffer, place.offset, sizeOf(shape));
    return new PageTensor({ dtype, shape }, isMapped, data, native);
  }

  /** @throws Error when the tensor was fed to a run */
  get data(): HostArray {
    if (!this.#data) throw new Error('a tensor that was fed to a run belongs to TensorFlow');
    return this.#data;
  }

  /** The native tensor, which the caller deletes. */
  take(): Pointer {
    if (!this.#data) throw new Error('a page tensor is fed to one run only');
    // All of the file's pages at once: one by one, where they are used first, they take longer.
    if (this.isMapped)
      memory().madvise(capi().tensorData(this.#native), this.#data.byteLength, POPULATE_READ);
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
      ...args: [Pointer | null, number, number, number, number, number]
    ) => Pointer | null,
    madvise: libc.func('int madvise(void*, size_t, int)') as (
      ...args: [address: Pointer, bytes: number, advice: number]
    ) => number,
    /** As a deallocator: TensorFlow calls it with a third argument, which it does not read. */
    munmap: dlsym(null, 'munmap'),
  };
}
