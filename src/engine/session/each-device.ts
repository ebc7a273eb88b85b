// A runtime on each of several devices, for work that is divided by images: each has the whole model, and no device
// waits for another.

import type { DeviceRequest } from './devices.ts';
import { Runtime } from './runtime.ts';

/** One for each device. */
export type OfDevices<T> = readonly [T, ...T[]];

/**
 * Runs `body` with a runtime on each device, and closes them afterwards; without `devices` with one, on the device that
 * TensorFlow chooses.
 * @throws UsageError when a device is missing; as `body`
 */
export async function withEachDevice<T>(
  devices: DeviceRequest | undefined,
  body: (runtimes: OfDevices<Runtime>) => Promise<T>,
): Promise<T> {
  const runtimes = runtimesOn(devices);
  try {
    return await body(runtimes);
  } finally {
    await closeAll(runtimes);
  }
}

/** A runtime on each device, for those who close them by themselves; see `withEachDevice`. */
export function runtimesOn(devices: DeviceRequest | undefined): OfDevices<Runtime> {
  const first = new Runtime({ devices, at: 0 });
  const others = Array.from({ length: first.deviceCount - 1 }, (_, i) => new Runtime({ devices, at: i + 1 }));
  return [first, ...others];
}

export async function closeAll(runtimes: OfDevices<Runtime>): Promise<void> {
  await Promise.all(runtimes.map((runtime) => runtime.close()));
}

/** What `open` makes on each device, one after the other: the host holds the weights of one at a time. */
export async function onEachDevice<T>(
  [first, ...others]: OfDevices<Runtime>,
  open: (runtime: Runtime) => Promise<T>,
): Promise<OfDevices<T>> {
  const opened: [T, ...T[]] = [await open(first)];
  for (const runtime of others) opened.push(await open(runtime));
  return opened;
}
