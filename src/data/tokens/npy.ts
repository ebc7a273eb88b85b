// NumPy's NPY format, version 1.0, for one kind of array: a grid of uint16, rows first. Little-endian, like every
// machine that libtensorflow is built for.

const MAGIC = Buffer.from('\u0093NUMPY\u0001\u0000', 'latin1');
/** Bytes of the magic and the header's length. */
const PREAMBLE = MAGIC.length + 2;
/** The values start at a multiple of this. */
const ALIGNMENT = 64;

export interface CodeArray {
  readonly rows: number;
  readonly columns: number;
  /** rows × columns */
  readonly codes: Uint16Array;
}

/** The bytes of an .npy file of shape (rows, columns). */
export function encodeNpy({ rows, columns, codes }: CodeArray): Buffer {
  const fields = `{'descr': '<u2', 'fortran_order': False, 'shape': (${rows}, ${columns}), }`;
  const start = Math.ceil((PREAMBLE + fields.length + 1) / ALIGNMENT) * ALIGNMENT;
  const bytes = Buffer.alloc(start + codes.length * 2);
  MAGIC.copy(bytes);
  bytes.writeUInt16LE(start - PREAMBLE, MAGIC.length);
  bytes.write(`${fields.padEnd(start - PREAMBLE - 1)}\n`, PREAMBLE, 'latin1');
  bytes.set(new Uint8Array(codes.buffer, codes.byteOffset, codes.byteLength), start);
  return bytes;
}

/**
 * Reads an .npy file of uint16 in two dimensions.
 * @throws RangeError with the expected and the received format
 */
export function decodeNpy(bytes: Buffer): CodeArray {
  if (bytes.length < PREAMBLE || !bytes.subarray(0, MAGIC.length).equals(MAGIC))
    throw new RangeError('not an NPY file of version 1.0');
  const start = PREAMBLE + bytes.readUInt16LE(MAGIC.length);
  const header = bytes.toString('latin1', PREAMBLE, start);
  const shape = /'shape': \((\d+), (\d+)\)/.exec(header);
  if (!header.includes("'descr': '<u2'") || !header.includes("'fortran_order': False") || !shape)
    throw new RangeError(`expected rows and columns of uint16, received ${header.trim()}`);
  const [rows, columns] = [Number(shape[1]), Number(shape[2])];
  const count = rows * columns;
  if (bytes.length !== start + count * 2)
    throw new RangeError(`expected ${count * 2} bytes of codes, received ${bytes.length - start}`);
  return { rows, columns, codes: new Uint16Array(Uint8Array.from(bytes.subarray(start)).buffer) };
}
