// HOST:PORT of worker 0.

import { lookup } from 'node:dns/promises';
import { isIPv6 } from 'node:net';
import { UsageError } from '../util/errors.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Parses HOST:PORT, with an IPv6 host in brackets. @throws UsageError when `text` has another form */
export function parseAddress(text: string): Address {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (digits === undefined || port < 1 || port > 65535) {
    throw new UsageError(`${JSON.stringify(text)} is not an address`, {
      code: 'E_ADDRESS',
      option: 'join',
      fix: 'give host and port, for example 10.0.0.1:29500',
    });
  }
  return { host: (bracketed ?? plain) as string, port };
}

export const formatAddress = ({ host, port }: Address): string =>
  isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;

/** Resolves the host to a numeric address. @throws UsageError when the name is unknown */
export async function resolveHost({ host, port }: Address): Promise<Address> {
  try {
    return { host: (await lookup(host)).address, port };
  } catch (cause) {
    throw new UsageError(`there is no host ${host}`, {
      code: 'E_HOST_NOT_FOUND',
      option: 'join',
      fix: 'check the name, or give the numeric address',
      cause,
    });
  }
}

/** True for addresses that do not leave the machine. */
export const isLoopback = (host: string): boolean => /^(127\.|::1$|::ffff:127\.)/.test(host);
