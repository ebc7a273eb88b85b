// A TensorFlow session: runs parts of a graph outside the event loop. Variables live in it.

import type { HostArray } from '../../util/element-types.ts';
import { outOfMemory } from '../../util/errors.ts';
import type { Graph } from '../graph/graph.ts';
import {
  type CApi,
  checked,
  copyBuffer,
  type GraphOutput,
  type Pointer,
  TensorFlowError,
} from '../native/capi.ts';
import { DT, dtypeName } from '../native/dtype.ts';
import { PageTensor } from '../native/page-tensor.ts';
import { runOptions } from '../native/session-config.ts';
import { createNative, type HostTensor, readNative, shapeOfNative } from '../native/tensor.ts';
import { leaveOnExit } from './in-flight.ts';
import { type OpTime, readTimes } from './op-times.ts';

/** A tensor of byte strings, such as the contents of files. */
export interface HostStrings {
  readonly dtype: 'string';
  readonly shape: readonly number[];
  readonly data: readonly Uint8Array[];
}

export interface Feed {
  readonly output: GraphOutput;
  readonly value: HostTensor | HostStrings;
}

export interface RunMode {
  /** Receives the time of each op; collecting it slows the run. */
  readonly times?: OpTime[] | undefined;
  /** See `RunSettings`. */
  readonly inOneThread?: boolean;
  /** Run in the calling thread, which blocks the event loop. */
  readonly blocking?: boolean;
  /** Arrays that receive the fetches, by their order, where they have their type and length. */
  readonly into?: readonly (HostArray | undefined)[];
}

/** The reason to report where a run fails; the run's own error is used unless there is a better one. */
export type ExplainFailure = (failure: TensorFlowError) => Promise<Error>;

export interface SessionOptions {
  /** The server that the session runs on (distributed/server.ts); in this process alone without it. */
  readonly target?: string | undefined;
  readonly explain?: ExplainFailure | undefined;
}

/** TF_RESOURCE_EXHAUSTED: an allocator has no memory. */
const RESOURCE_EXHAUSTED = 8;

export class Session {
  readonly #api: CApi;
  readonly #graph: Graph;
  readonly #pointer: Pointer;
  readonly #running = new Set<Promise<unknown>>();
  /** Why runs are refused. */
  #cancellation: Error | undefined;
  readonly #explain: ExplainFailure | undefined;

  /** @param config a serialized ConfigProto */
  constructor(graph: Graph, config: Uint8Array, { target, explain }: SessionOptions = {}) {
    this.#explain = explain;
    this.#graph = graph;
    this.#api = graph.api;
    const options = this.#api.newSessionOptions();
    checked(this.#api, 'session options', (status) =>
      this.#api.setConfig(options, config, config.length, status),
    );
    if (target !== undefined) this.#api.setTarget(options, target);
    this.#pointer = checked(this.#api, 'session', (status) =>
      this.#api.newSession(graph.pointer, options, status),
    );
    this.#api.deleteSessionOptions(options);
  }

  /** Name, type and memory of each device, such as '/device:CPU:0', 'CPU'; bytes that TensorFlow may take of a GPU. */
  devices(): [name: string, type: string, memory: number][] {
    const api = this.#api;
    return checked(api, 'devices', (status) => {
      const list = api.listDevices(this.#pointer, status);
      const devices = Array.from({ length: api.deviceCount(list) }, (_, i): [string, string, number] => [
        api.deviceName(list, i, status),
        api.deviceType(list, i, status),
        Number(api.deviceMemory(list, i, status)),
      ]);
      api.deleteDeviceList(list);
      return devices;
    });
  }

  /**
   * Runs the targets and computes the fetches. `name` is for error messages.
   * @throws DataError when there is not enough memory; TensorFlowError when an op fails, whose message names the model
   *   line
   */
  run(
    name: string,
    feeds: readonly Feed[],
    fetches: readonly GraphOutput[],
    targets: readonly Pointer[],
    mode: RunMode = {},
  ): Promise<HostTensor[]> {
    const run = this.#run(name, feeds, fetches, targets, mode);
    this.#running.add(run);
    leaveOnExit(this.#api, run);
    const forget = (): void => void this.#running.delete(run);
    run.then(forget, forget);
    return run;
  }

  async #run(
    name: string,
    feeds: readonly Feed[],
    fetches: readonly GraphOutput[],
    targets: readonly Pointer[],
    { times, inOneThread = false, blocking = false, into = [] }: RunMode,
  ): Promise<HostTensor[]> {
    const api = this.#api;
    if (this.#cancellation) throw this.#cancellation;
    const set = runOptions({ traced: times !== undefined, inOneThread });
    const options = set ? api.newBufferFrom(set, set.length) : null;
    const metadata = times ? api.newBuffer() : null;
    const inputs = feeds.map(({ value }) =>
      value instanceof PageTensor
        ? value.take()
        : createNative(api, DT[value.dtype], value.shape, value.data),
    );
    const outputs: (Pointer | null)[] = new Array(fetches.length).fill(null);
    const status = api.newStatus();
    try {
      const run: Parameters<CApi['sessionRun']> = [
        this.#pointer,
        options,
        feeds.map((feed) => feed.output),
        inputs,
        inputs.length,
        [...fetches],
        outputs,
        fetches.length,
        [...targets],
        targets.length,
        metadata,
        status,
      ];
      if (blocking) api.sessionRun(...run);
      else
        await new Promise<void>((resolve, reject) =>
          api.sessionRun.async(...run, (error) => (error ? reject(error) : resolve())),
        );
      if (api.statusCode(status) !== 0) {
        const failure = new TensorFlowError(name, this.#graph.explainError(api.statusMessage(status)));
        if (this.#cancellation) throw this.#cancellation;
        if (api.statusCode(status) === RESOURCE_EXHAUSTED) throw outOfMemory(failure.message, failure);
        throw (await this.#explain?.(failure)) ?? failure;
      }
      if (times && metadata !== null) times.push(...readTimes(copyBuffer(api, metadata)));
      return outputs.map((output, i) => this.#toHost(output as Pointer, into[i]));
    } finally {
      for (const buffer of [options, metadata]) if (buffer !== null) api.deleteBuffer(buffer);
      for (const native of [...inputs, ...outputs]) if (native !== null) api.deleteTensor(native);
      api.deleteStatus(status);
    }
  }

  #toHost(native: Pointer, into?: HostArray): HostTensor {
    const dtype = dtypeName(this.#api.tensorType(native)) as HostTensor['dtype'];
    return {
      dtype,
      shape: shapeOfNative(this.#api, native),
      data: readNative(this.#api, native, into) as HostArray,
    };
  }

  /** Ends the runs in flight, which otherwise wait for a worker that is lost; they and later ones fail with `reason`. */
  cancel(reason: Error): void {
    if (this.#cancellation) return;
    this.#cancellation = reason;
    const status = this.#api.newStatus();
    // Outside the event loop: it waits for the runs to return.
    this.#api.closeSession.async(this.#pointer, status, () => this.#api.deleteStatus(status));
  }

  /** Waits for the runs in flight, then frees the session. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#running);
    // What a cancelled session is still doing ends with the process.
    if (this.#cancellation) return;
    checked(this.#api, 'close', (status) => this.#api.closeSession(this.#pointer, status));
    checked(this.#api, 'close', (status) => this.#api.deleteSession(this.#pointer, status));
  }
}
