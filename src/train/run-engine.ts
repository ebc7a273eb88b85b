// The engine of a training run: started by the opening of the run, once everything that can be checked without it is
// checked, and closed at the end of the run.

import type { Cluster } from '../cluster/cluster.ts';
import type { ServerOptions } from '../engine/distributed/server.ts';
import type { DeviceRequest } from '../engine/session/devices.ts';
import { Runtime } from '../engine/session/runtime.ts';
import { threadsInUse, useThreads } from '../engine/session/threads.ts';
import { counted } from '../util/counted.ts';
import type { Logger } from '../util/logger.ts';
import { agreeOnServers, assertReachable, explainFailure } from './distributed/data-network.ts';
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
   * @throws EngineError when libtensorflow is not installed; UsageError when workers have different versions of it or
   *   other devices, or a device is missing; DataError when a worker cannot be reached
   */
  async start(): Promise<Runtime> {
    const cluster = this.#cluster;
    if (cluster) await this.#shareThreads(cluster);
    const server = cluster && (await agreeOnServers(cluster));
    this.#runtime = new Runtime({
      devices: this.#devices,
      server,
      explain: cluster && ((failure) => explainFailure(cluster, failure)),
    });
    const { names } = this.#runtime.replicas;
    if (this.#devices) {
      const listed = names.map((name) => name?.replace('/device:', '') ?? 'the processor').join(', ');
      this.#log.info(`training on ${counted(names.length, 'device')}: ${listed}`);
    }
    if (cluster && server) await this.#connect(cluster, server, this.#runtime);
    return this.#runtime;
  }

  /** Checks that the workers' engines fit together and reach each other. From here on a lost worker ends the runs. */
  async #connect(cluster: Cluster, server: ServerOptions, runtime: Runtime): Promise<void> {
    const { stopped } = cluster;
    const cancel = (): void => runtime.cancel(stopped.reason as Error);
    if (stopped.aborted) cancel();
    else stopped.addEventListener('abort', cancel, { once: true });
    await cluster.assertSame('libtensorflow', runtime.tensorflowVersion);
    const { names, areGpus } = runtime.replicas;
    await cluster.assertSame('number and kind of devices', `${names.length} ${areGpus ? 'GPU' : 'CPU'}`);
    // All servers are there once the texts of all are.
    await assertReachable(server);
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
