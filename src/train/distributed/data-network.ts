// The data network of the workers: TensorFlow's servers, which carry weights and gradients. The workers agree on it
// through their control channel, and end together where an exchange fails because a worker is lost.

import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer, Socket } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { z } from 'zod';
import type { Cluster } from '../../cluster/cluster.ts';
import type { DataAddress, ServerOptions } from '../../engine/distributed/server.ts';
import { assertFilterable, plainAddress } from '../../engine/distributed/socket-filter.ts';
import type { TensorFlowError } from '../../engine/native/capi.ts';
import { DataError } from '../../util/errors.ts';

/** Ports of TensorFlow's servers: below those that systems give to outgoing connections. */
export const DATA_PORTS = { first: 20_000, count: 12_768 } as const;
const MAX_TRIES = 64;
const REACH_MS = 10_000;
/** Time in which the control channel says what it knows of a failed exchange. */
const GRACE_MS = 5000;

/**
 * Chooses a port for this worker's server and learns those of the others; all workers call it together.
 * @throws UsageError where a server cannot be restricted to the workers
 */
export async function agreeOnServers(cluster: Cluster): Promise<ServerOptions> {
  assertFilterable();
  const own = await freePort();
  const ports = (await cluster.gatherTexts(String(own))).map((text) => portSchema.parse(Number(text)));
  const hosts = ports.map((_, rank) => (rank === cluster.rank ? undefined : cluster.hostOf(rank)));
  return {
    rank: cluster.rank,
    addresses: ports.map((port, rank) => ({ host: plainAddress(hosts[rank] ?? 'localhost'), port })),
  };
}

const portSchema = z.int().min(1).max(65535);

/** A port on which nothing listens, on any interface. */
async function freePort(): Promise<number> {
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const port = DATA_PORTS.first + randomInt(DATA_PORTS.count);
    const server = createServer();
    try {
      server.listen({ port, exclusive: true });
      await once(server, 'listening');
    } catch {
      continue;
    } finally {
      server.close();
    }
    return port;
  }
  throw new DataError('no port is free for the exchange of gradients', {
    code: 'E_PORT_IN_USE',
    where: `ports ${DATA_PORTS.first} to ${DATA_PORTS.first + DATA_PORTS.count - 1}`,
    fix: 'end programs that listen on them',
  });
}

/**
 * Checks that the servers of the other workers can be reached: TensorFlow would try for ever.
 * @throws DataError that names a worker and its port
 */
export async function assertReachable({ rank, addresses }: ServerOptions): Promise<void> {
  await Promise.all(
    addresses.map(async (address, other) => {
      if (other === rank || (await isReachable(address))) return;
      throw new DataError(
        `worker ${other} does not answer worker ${rank} on port ${address.port}, where gradients go`,
        {
          code: 'E_WORKER_UNREACHABLE',
          where: `${address.host}, port ${address.port}`,
          fix: `open ports ${DATA_PORTS.first} to ${DATA_PORTS.first + DATA_PORTS.count - 1} between the workers' machines`,
        },
      );
    }),
  );
}

async function isReachable({ host, port }: DataAddress): Promise<boolean> {
  const socket = new Socket();
  const failed = once(socket, 'error').then(() => false);
  const late = setTimeout(REACH_MS, false, { ref: false });
  socket.connect(port, host);
  const connected = once(socket, 'connect').then(() => true);
  connected.catch(() => {});
  const isConnected = await Promise.race([connected, failed, late]);
  socket.destroy();
  return isConnected;
}

/** What TensorFlow says when another worker's part of an exchange does not come. */
const OF_THE_NETWORK = /remote target|collective|connection|cancelled/i;

/** The error to end with: TensorFlow's words for a lost worker are worth less than those of the control channel. */
export async function explainFailure(cluster: Cluster, failure: TensorFlowError): Promise<Error> {
  if (!OF_THE_NETWORK.test(failure.reason)) return failure;
  const { stopped } = cluster;
  const wait = new AbortController();
  const said = stopped.aborted ? Promise.resolve() : once(stopped, 'abort', { signal: wait.signal });
  await Promise.race([said, setTimeout(GRACE_MS, undefined, { signal: wait.signal })]).catch(() => {});
  wait.abort();
  if (stopped.aborted) return stopped.reason as Error;
  return new DataError(`the exchange with the other workers failed: ${plainReason(failure)}`, {
    code: 'E_WORKER_LOST',
    fix: 'check the network between the workers, then continue with `resume`',
    cause: failure,
  });
}

/** TensorFlow's words without the place that comes before them, on one line. */
const plainReason = ({ reason }: TensorFlowError): string =>
  reason.replace(/^From \/job:\S+:\n/, '').replaceAll(/\s*\n\s*/g, ' ');
