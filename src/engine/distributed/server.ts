// TensorFlow's server: the data network of several workers. A session on the server of its process exchanges tensors
// with the sessions of the others through collective ops (collectives.ts). The server listens on all interfaces without
// authentication, and any program that reaches it can run any graph: socket-filter.ts lets the other workers in only.

import { EngineError, UsageError } from '../../util/errors.ts';
import { bytesField, type Field, integerField, message } from '../../util/protobuf.ts';
import { type CApi, checked, type Pointer, TensorFlowError } from '../native/capi.ts';
import { admitOnly } from './socket-filter.ts';

export interface DataAddress {
  /** Numeric, as seen from this worker. */
  readonly host: string;
  readonly port: number;
}

export interface ServerOptions {
  readonly rank: number;
  /** Where each worker's server listens, in the order of the ranks. */
  readonly addresses: readonly DataAddress[];
}

export interface Server {
  /** For sessions that run on it. */
  readonly target: string;
  /** Fields of a session's ConfigProto. */
  readonly config: Uint8Array;
}

// Field numbers of tensorflow_server.proto, cluster.proto and config.proto.
const SERVER = { cluster: 1, job: 2, task: 3, defaultConfig: 4, protocol: 5 } as const;
const CLUSTER = { job: 1 } as const;
const JOB = { name: 1, tasks: 2 } as const;
const TASK = { index: 1, address: 2 } as const;
const CONFIG = { deviceFilters: 4, experimental: 16 } as const;
const EXPERIMENTAL = { collectiveGroupLeader: 1 } as const;

/**
 * A job for each worker. TensorFlow orders the members of a group by their names as text, and of one job's tasks the
 * eleventh would come before the third.
 */
const jobOf = (rank: number): string => `worker${String(rank).padStart(4, '0')}`;

const hostAndPort = ({ host, port }: DataAddress): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;

/** Worker 0 keeps the groups, and ops without a device stay in their worker. */
const sessionFields = (rank: number): Field =>
  message(
    bytesField(CONFIG.deviceFilters, `/job:${jobOf(rank)}/task:0`),
    bytesField(
      CONFIG.experimental,
      bytesField(EXPERIMENTAL.collectiveGroupLeader, `/job:${jobOf(0)}/replica:0/task:0`),
    ),
  );

/** @param config a serialized ConfigProto: threads and devices belong to the server */
function serverDefinition({ rank, addresses }: ServerOptions, config: Uint8Array): Uint8Array {
  const jobs = addresses.map((address, i) =>
    bytesField(
      CLUSTER.job,
      message(
        bytesField(JOB.name, jobOf(i)),
        bytesField(
          JOB.tasks,
          message(integerField(TASK.index, 0), bytesField(TASK.address, hostAndPort(address))),
        ),
      ),
    ),
  );
  return message(
    bytesField(SERVER.cluster, message(...jobs)),
    bytesField(SERVER.job, jobOf(rank)),
    integerField(SERVER.task, 0),
    bytesField(SERVER.defaultConfig, config),
    bytesField(SERVER.protocol, 'grpc'),
  );
}

/**
 * Starts the server of this process; it ends with the process. Requests are answered only once the filter is there.
 * @param config a serialized ConfigProto of this process's sessions
 * @throws UsageError when the port is in use or the system has no such filter; DataError when another address is connected
 */
export function startServer(api: CApi, options: ServerOptions, config: Uint8Array): Server {
  const { rank, addresses } = options;
  const { port } = addresses[rank] as DataAddress;
  const own = sessionFields(rank);
  const definition = serverDefinition(options, message(config, own));
  const server = listening(port, () =>
    checked(api, 'server', (status) => api.newServer(definition, definition.length, status)),
  );
  const others = addresses.filter((_, i) => i !== rank);
  admitOnly(
    port,
    others.map(({ host }) => host),
  );
  checked(api, 'server', (status) => api.startServer(server, status));
  return { target: api.serverTarget(server), config: own };
}

function listening(port: number, start: () => Pointer): Pointer {
  try {
    return start();
  } catch (cause) {
    if (!(cause instanceof TensorFlowError)) throw cause;
    if (/could not start grpc server/i.test(cause.reason))
      throw new UsageError("the port of TensorFlow's server is in use", {
        code: 'E_PORT_IN_USE',
        where: `port ${port}`,
        fix: 'start all workers again: they choose other ports',
        cause,
      });
    throw new EngineError(`TensorFlow's server does not start: ${cause.reason}`, {
      code: 'E_SERVER',
      fix: 'train with `devices` on one machine, or send this message to the authors',
      cause,
    });
  }
}
