// The devices that hold replicas of the training state: which ones a user asks for, and their names in TensorFlow.

import { UsageError } from '../../util/errors.ts';
import type { ReplicaDevices } from '../tfjs/trace.ts';

/** Devices of one kind by number, or all GPUs. */
export type DeviceRequest = { readonly kind: 'CPU' | 'GPU'; readonly numbers: readonly number[] } | 'all';

/** This process among those that train together. */
export interface WorkerPlace {
  readonly rank: number;
  readonly workers: number;
}

const MAX_CPU_DEVICES = 64;
const FIX = 'write `all`, or GPUs such as 0,1, or CPU devices such as cpu:0,cpu:1';
const VISIBLE = 'CUDA_VISIBLE_DEVICES';

const refusal = (message: string, fix = FIX): UsageError =>
  new UsageError(message, { code: 'E_DEVICES', option: 'devices', fix });

/**
 * Parses `all`, or a list of devices: `0,1` and `gpu:0,gpu:1` are GPUs, `cpu:0,cpu:1` parts of the processor.
 * @throws UsageError for anything else, devices of both kinds, and a device named twice
 */
export function parseDevices(text: string): DeviceRequest;
export function parseDevices(text: string | undefined): DeviceRequest | undefined;
export function parseDevices(text: string | undefined): DeviceRequest | undefined {
  if (text === undefined) return undefined;
  if (text.trim().toLowerCase() === 'all') return 'all';
  const devices = text.split(',').map((item) => {
    const match = /^(?:(cpu|gpu):)?(\d{1,4})$/.exec(item.trim().toLowerCase());
    if (!match) throw refusal(`\`devices\`: ${JSON.stringify(item.trim())} is not a device`);
    return { kind: match[1] === 'cpu' ? ('CPU' as const) : ('GPU' as const), number: Number(match[2]) };
  });
  const numbers = devices.map(({ number }) => number);
  const kind = devices[0]?.kind ?? 'GPU';
  if (devices.some((device) => device.kind !== kind)) {
    throw refusal(
      `\`devices\`: ${text} mixes CPUs and GPUs, which compute other bits`,
      'name devices of one kind',
    );
  }
  const twice = numbers.find((number, i) => numbers.indexOf(number) < i);
  if (twice !== undefined)
    throw refusal(`\`devices\`: device ${twice} is named twice`, 'name each device once');
  if (kind === 'CPU' && Math.max(...numbers) >= MAX_CPU_DEVICES)
    throw refusal(`\`devices\`: CPU devices have numbers below ${MAX_CPU_DEVICES}`);
  return { kind, numbers };
}

/** The number of devices, where it is known before the engine is started. */
export const countOf = (request: DeviceRequest | undefined): number | undefined => {
  if (request === undefined) return 1;
  return request === 'all' ? undefined : request.numbers.length;
};

/** CPU devices that a session needs for them. */
export const cpuDevicesFor = (request: DeviceRequest | undefined): number =>
  request === undefined || request === 'all' || request.kind === 'GPU' ? 1 : Math.max(...request.numbers) + 1;

/** The GPUs that are shown, and by whose numbers: a second runtime asks for them by the same ones. */
let shown: { readonly numbers: string; readonly visible: string } | undefined;

/**
 * Hides all other GPUs from TensorFlow, which would claim their memory. Call it before libtensorflow is loaded.
 * @throws UsageError for a GPU that the environment hides already
 */
export function hideOtherGpus(request: DeviceRequest | undefined): void {
  if (request === undefined || request === 'all') return;
  if (request.kind === 'CPU') {
    process.env[VISIBLE] = '-1';
    return;
  }
  const numbers = request.numbers.join();
  if (shown?.numbers === numbers && shown.visible === process.env[VISIBLE]) return;
  const visible = process.env[VISIBLE]?.split(',');
  process.env[VISIBLE] = request.numbers
    .map((number) => {
      const name = visible ? visible[number] : String(number);
      if (name === undefined)
        throw refusal(
          `there is no GPU ${number}: ${VISIBLE} shows ${visible?.length}`,
          `name one of those it shows`,
        );
      return name;
    })
    .join(',');
  shown = { numbers, visible: process.env[VISIBLE] };
}

/**
 * The requested devices among those of a session; `hideOtherGpus` has numbered GPUs anew, from 0.
 * @param types of all devices of the session, such as CPU and GPU
 * @param place of this process among workers, each of which has as many devices
 * @throws UsageError when one is missing
 */
export function replicaDevices(
  request: DeviceRequest | undefined,
  types: readonly string[],
  { rank, workers }: WorkerPlace = { rank: 0, workers: 1 },
): ReplicaDevices {
  const { names, areGpus } = ownDevices(request, types);
  return { names, areGpus, first: rank * names.length, count: workers * names.length };
}

/** One of the devices alone, by its place in the request. */
export const deviceAt = ({ names, areGpus }: ReplicaDevices, at: number): ReplicaDevices => ({
  names: [names[at]],
  areGpus,
  first: 0,
  count: 1,
});

function ownDevices(
  request: DeviceRequest | undefined,
  types: readonly string[],
): Pick<ReplicaDevices, 'names' | 'areGpus'> {
  const gpus = types.filter((type) => type === 'GPU').length;
  if (request === undefined || (request === 'all' && gpus === 0))
    return { names: [undefined], areGpus: gpus > 0 };
  const { kind, numbers } =
    request === 'all' ? { kind: 'GPU' as const, numbers: [...Array(gpus).keys()] } : request;
  if (kind === 'GPU' && gpus < numbers.length) {
    throw refusal(
      `there is no GPU ${numbers[gpus]}: TensorFlow sees ${gpus === 0 ? 'none' : `${gpus} of ${numbers.length}`}`,
      'run `mm doctor`, which says what it sees, or use CPU devices: cpu:0,cpu:1',
    );
  }
  const [first, ...others] = numbers.map((number, i) => `/device:${kind}:${kind === 'GPU' ? i : number}`);
  return { names: [first, ...others], areGpus: kind === 'GPU' };
}
