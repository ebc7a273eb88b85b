// HOST:PORT of the first worker, and which addresses stay within the machine.

import { lookup } from 'node:dns/promises';
import { isIPv6 } from 'node:net';
import { UsageError } from '../util/errors.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** @throws UsageError when it is none */
export function parseAddress(text: string): Address {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (digits === undefined || port < 1 || port > 65535) {
    throw new UsageError(`${JSON.stringify(text)} is no address`, {
      where: '--join',
      fix: 'give host and port, for example --join 10.0.0.1:29500',
    });
  }
  return { host: (bracketed ?? plain) as string, port };
}

export const formatAddress = ({ host, port }: Address): string =>
  isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;

/** The numeric address of a name. Throws UsageError when there is none. */
export async function resolveHost({ host, port }: Address): Promise<Address> {
  try {
    return { host: (await lookup(host)).address, port };
  } catch (cause) {
    throw new UsageError(`there is no machine ${host}`, {
      where: '--join',
      fix: 'check the name, or give the address in numbers',
      cause,
    });
  }
}

export const isLoopback = (host: string): boolean => /^(127\.|::1$|::ffff:127\.)/.test(host);
