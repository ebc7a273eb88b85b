// How the sessions of a process are opened: alone, or on its TensorFlow server, whose variables they share.

import { message } from '../../util/protobuf.ts';
import { type ServerOptions, startServer } from '../distributed/server.ts';
import type { CApi } from '../native/capi.ts';
import { type SessionConfig, sessionConfig } from '../native/session-config.ts';
import { cpuDevicesFor, type DeviceRequest } from './devices.ts';
import type { SessionOptions } from './session.ts';

export interface Connection extends SessionOptions {
  /** A serialized ConfigProto. */
  readonly config: Uint8Array;
}

export interface ConnectionOptions
  extends Omit<SessionConfig, 'cpuDevices' | 'isServed'>,
    Pick<SessionOptions, 'explain'> {
  /** Devices that functions are to run on; one, that TensorFlow chooses, without them. */
  readonly devices?: DeviceRequest | undefined;
  /** Makes the process part of a network of workers. */
  readonly server?: ServerOptions | undefined;
}

/** Starts the server, where there is to be one. @throws as `startServer` */
export function connect(api: CApi, { devices, server, explain, ...config }: ConnectionOptions): Connection {
  const own = sessionConfig({
    cpuDevices: cpuDevicesFor(devices),
    isServed: server !== undefined,
    ...config,
  });
  if (!server) return { config: own, target: undefined, explain };
  const started = startServer(api, server, own);
  return { config: message(own, started.config), target: started.target, explain };
}
