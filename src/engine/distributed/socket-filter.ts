// Linux: a classic BPF program on a listening socket, which the process puts there itself without privileges. It drops
// packets from all but some addresses, before a connection is made; connections inherit it. It cannot tell users of one
// machine apart. Other systems have no such filter.

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { endianness } from 'node:os';
import { DataError, UsageError } from '../../util/errors.ts';
import { attachFilter } from '../native/socket-option.ts';

/** An instruction: code, jumps over so many when true and when false, operand. */
export type Instruction = readonly [code: number, isTrue: number, isFalse: number, operand: number];

// linux/filter.h and linux/bpf_common.h.
const LOAD_BYTE = 0x30;
const LOAD_WORD = 0x20;
const AND = 0x54;
const JUMP = 0x05;
const JUMP_IF_EQUAL = 0x15;
const RETURN = 0x06;
/** Offsets from here count from the start of the IP header. */
const NETWORK = 0xfff0_0000;
const MAX_INSTRUCTIONS = 4096;

const DROP: Instruction = [RETURN, 0, 0, 0];
const ACCEPT: Instruction = [RETURN, 0, 0, 0xffff_ffff];
const WORD_BYTES = 4;
/** The upper half of the first byte of an IP header. */
const VERSION = { v4: 0x40, v6: 0x60 } as const;
/** Where the sender's address begins in an IP header. */
const SOURCE = { v4: 12, v6: 8 } as const;

/** `a.b.c.d` of `::ffff:a.b.c.d`; other addresses as they are, without a zone. */
export const plainAddress = (host: string): string =>
  host.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '').replace(/%.*$/, '');

/** The words of a numeric address, in the order of the network. */
export function wordsOf(address: string): number[] {
  const bytes = isIPv6(address) ? bytesOfIpv6(address) : address.split('.').map(Number);
  return Array.from({ length: bytes.length / WORD_BYTES }, (_, word) =>
    bytes.slice(WORD_BYTES * word, WORD_BYTES * (word + 1)).reduce((sum, byte) => sum * 256 + byte, 0),
  );
}

function bytesOfIpv6(address: string): number[] {
  const groups = (text: string): string[] => (text === '' ? [] : text.split(':'));
  const [before = '', after] = address.split('::');
  const [head, tail] = [groups(before), groups(after ?? '')];
  const zeros = new Array<string>(8 - head.length - tail.length).fill('0');
  return [...head, ...zeros, ...tail].flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 255];
  });
}

/**
 * A program that accepts packets of these addresses only.
 * @throws UsageError when there are too many
 */
export function filterProgram(addresses: readonly string[]): Instruction[] {
  const each = [...new Set(addresses.map(plainAddress))];
  const ofV4 = each
    .filter((address) => !isIPv6(address))
    .flatMap((address): Instruction[] => [[JUMP_IF_EQUAL, 0, 1, wordsOf(address)[0] as number], ACCEPT]);
  const ofV6 = each
    .filter((address) => isIPv6(address))
    .flatMap((address): Instruction[] => [
      ...wordsOf(address).flatMap((word, i, words): Instruction[] => [
        [LOAD_WORD, 0, 0, NETWORK + SOURCE.v6 + WORD_BYTES * i],
        // Where a word differs: over the other words, two instructions each, and over ACCEPT.
        [JUMP_IF_EQUAL, 0, 2 * (words.length - 1 - i) + 1, word],
      ]),
      ACCEPT,
    ]);
  const blockOfV4: Instruction[] = [[LOAD_WORD, 0, 0, NETWORK + SOURCE.v4], ...ofV4, DROP];
  const program: Instruction[] = [
    [LOAD_BYTE, 0, 0, NETWORK],
    [AND, 0, 0, 0xf0],
    [JUMP_IF_EQUAL, 1, 0, VERSION.v4],
    // A conditional jump reaches 255 instructions, this one all.
    [JUMP, 0, 0, blockOfV4.length],
    ...blockOfV4,
    [JUMP_IF_EQUAL, 1, 0, VERSION.v6],
    DROP,
    ...ofV6,
    DROP,
  ];
  if (program.length > MAX_INSTRUCTIONS)
    throw new UsageError(`a filter for ${each.length} addresses is longer than Linux takes`, {
      code: 'E_SOCKET_FILTER',
      option: 'join',
      fix: 'use fewer machines, or IPv4 addresses, which take less room',
    });
  return program;
}

/**
 * Lets a socket of this process that listens on `port` take connections from these addresses only.
 * @param addresses numeric
 * @throws UsageError where the system has no such filter; DataError when another address is connected already
 */
export function admitOnly(port: number, addresses: readonly string[]): void {
  assertFilterable();
  const rows = socketsOn(port);
  const listening = rows.filter(({ isListening }) => isListening).map(({ inode }) => inode);
  const files = filesOf(listening);
  if (files.length === 0) throw new Error(`nothing of this process listens on port ${port}`);
  const program = filterProgram(addresses);
  for (const file of files) {
    const failure = attachFilter(file, program);
    if (failure !== undefined) throw refusal(`the system takes no filter for TensorFlow's port: ${failure}`);
  }
  // Connections from before the filter: they have no answer yet, because the server has not been started.
  const known = new Set(addresses.map(plainAddress));
  const unexpected = socketsOn(port).find(({ isListening, remote }) => !isListening && !known.has(remote));
  if (!unexpected) return;
  throw new DataError(`${unexpected.remote}, which is no worker, is connected to TensorFlow's port ${port}`, {
    code: 'E_UNEXPECTED_CONNECTION',
    where: `port ${port}`,
    fix: 'find out what connects to it, and start all workers again',
  });
}

/** @throws UsageError on a system without such filters */
export function assertFilterable(platform: NodeJS.Platform = process.platform): void {
  if (platform === 'linux') return;
  throw refusal(`TensorFlow's port takes any program from anyone, and ${platform} cannot restrict it`);
}

const refusal = (message: string): UsageError =>
  new UsageError(message, {
    code: 'E_SOCKET_FILTER',
    option: 'workers',
    fix: 'train with several workers on Linux, outside of sandboxes; on one machine `devices` needs no port',
  });

interface SocketRow {
  readonly isListening: boolean;
  readonly remote: string;
  readonly inode: string;
}

// States of net/tcp_states.h.
const LISTENING = '0A';
/** TIME_WAIT and CLOSE: nothing can be sent any more. */
const ENDED = new Set(['06', '07']);

/** The system's TCP sockets whose local port is `port`. */
function socketsOn(port: number): SocketRow[] {
  return ['tcp', 'tcp6'].flatMap((table) =>
    rowsOf(table).flatMap((line): SocketRow[] => {
      const [, local = '', remote = '', state = '', , , , , , inode = ''] = line.trim().split(/\s+/);
      if (Number.parseInt(local.split(':')[1] ?? '', 16) !== port || ENDED.has(state)) return [];
      const [address = ''] = remote.split(':');
      return [{ isListening: state === LISTENING, remote: addressOf(address), inode }];
    }),
  );
}

function rowsOf(table: string): string[] {
  try {
    return readFileSync(`/proc/net/${table}`, 'utf8').split('\n').slice(1);
  } catch {
    // Without IPv6 there is no such table.
    return [];
  }
}

/** An address of /proc/net/tcp: words of four bytes, each in the machine's order, in hexadecimal digits. */
export function addressOf(digits: string): string {
  const bytes = Buffer.from(digits, 'hex');
  if (endianness() === 'LE') bytes.swap32();
  if (bytes.length === 4) return [...bytes].join('.');
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16));
  const text = new URL(`http://[${groups.join(':')}]/`).hostname.slice(1, -1);
  const mapped = /^::ffff:([\da-f]+):([\da-f]+)$/.exec(text);
  return mapped ? [...bytes.subarray(12)].join('.') : text;
}

/** File descriptors of this process for sockets of these inodes. */
function filesOf(inodes: readonly string[]): number[] {
  return readdirSync('/proc/self/fd').flatMap((file) => {
    try {
      const [, inode] = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${file}`)) ?? [];
      return inode !== undefined && inodes.includes(inode) ? [Number(file)] : [];
    } catch {
      // Closed meanwhile.
      return [];
    }
  });
}
