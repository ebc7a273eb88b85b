// The memory that programs on this machine share.

import { totalmem } from 'node:os';

/** Bytes of main memory, or those that the container may use, where it has a limit. */
export const machineMemory = (): number =>
  Math.min(totalmem(), process.constrainedMemory?.() || Number.POSITIVE_INFINITY);
