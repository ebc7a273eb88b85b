// The engine of a training run: started by the opening of the run, once everything that can be checked without it is
// checked, and closed at the end of the run.

import type { Cluster } from '../cluster/cluster.ts';
import type { DeviceRequest } from '../engine/session/devices.ts';
import { Runtime } from '../engine/session/runtime.ts';
import { threadsInUse, useThreads } from '../engine/session/threads.ts';
import type { Logger } from '../util/logger.ts';
import { minThreads } from './distributed/data-parallel.ts';

export class RunEngine {
  readonly #cluster: Cluster | undefined;
  readonly #log: Logger;
  readonly #devices: DeviceRequest | undefined;
  #runtime: Runtime | undefined;

  /** @param devices that each hold a replica of the training state; one without it */
  constructor(cluster: Cluster | undefined, log: Logger, devices?: DeviceRequest) {
    this.#cluster = cluster;
    this.#log = log;
    this.#devices = devices;
  }

  /**
   * Loads libtensorflow and opens a session.
   * @throws EngineError when libtensorflow is not installed; UsageError when workers have different versions of it, or
   *   a device is missing
   */
  async start(): Promise<Runtime> {
    if (this.#cluster) await this.#shareThreads(this.#cluster);
    this.#runtime = new Runtime({ devices: this.#devices });
    const { names } = this.#runtime.replicas;
    if (this.#devices) {
      const listed = names.map((name) => name?.replace('/device:', '') ?? 'the processor').join(', ');
      this.#log.info(`training on ${names.length === 1 ? '1 device' : `${names.length} devices`}: ${listed}`);
    }
    await this.#cluster?.assertSame('libtensorflow', this.#runtime.tensorflowVersion);
    return this.#runtime;
  }

  /** The runtime; only after `start`. */
  get runtime(): Runtime {
    if (!this.#runtime) throw new Error('the engine of the run has not been started');
    return this.#runtime;
  }

  async close(): Promise<void> {
    await this.#runtime?.close();
  }

  /** Makes all workers use as many threads as the worker that has the fewest. */
  async #shareThreads(cluster: Cluster): Promise<void> {
    const own = threadsInUse();
    const threads = await minThreads(cluster, own);
    if (threads === own) return;
    this.#log.info(`using ${threads} of ${own} threads, as many as the worker that has the fewest`);
    useThreads(threads);
  }
}
