// The filter of TensorFlow's port, against an interpreter of its instructions.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, Socket } from 'node:net';
import { test } from 'node:test';
import {
  addressOf,
  admitOnly,
  assertFilterable,
  filterProgram,
  type Instruction,
  plainAddress,
  wordsOf,
} from '../../../../src/engine/distributed/socket-filter.ts';

/** An IP header with this source address. */
function headerFrom(address: string): Buffer {
  const words = wordsOf(address);
  const header = Buffer.alloc(40, 0xee);
  header[0] = words.length === 1 ? 0x45 : 0x60;
  for (const [i, word] of words.entries()) header.writeUInt32BE(word, (words.length === 1 ? 12 : 8) + 4 * i);
  return header;
}

/** Runs the program as Linux does; returns whether it accepts the packet. */
function accepts(program: readonly Instruction[], packet: Buffer): boolean {
  const NETWORK = 0xfff0_0000;
  let a = 0;
  for (let at = 0; ; at++) {
    const [code, isTrue, isFalse, operand] = program[at]!;
    if (code === 0x30) a = packet[operand - NETWORK]!;
    else if (code === 0x20) a = packet.readUInt32BE(operand - NETWORK);
    else if (code === 0x54) a &= operand;
    else if (code === 0x05) at += operand;
    else if (code === 0x15) at += a === operand ? isTrue : isFalse;
    else if (code === 0x06) return operand !== 0;
    else assert.fail(`instruction ${code}`);
  }
}

test('packets of the addresses are accepted, all others dropped, for as many addresses as workers may have', () => {
  const many = Array.from({ length: 1023 }, (_, i) => `10.1.${i >> 8}.${i & 255}`);
  for (const admitted of [
    ['127.0.0.1'],
    ['10.0.0.2', '2001:db8::7', 'fe80::1%eth0', '::ffff:10.0.0.9'],
    [...many, '2001:db8:0:0:1::1'],
  ]) {
    const program = filterProgram(admitted);
    for (const [, isTrue, isFalse] of program) assert.ok(isTrue < 256 && isFalse < 256);
    for (const address of admitted) assert.ok(accepts(program, headerFrom(plainAddress(address))), address);
    for (const other of ['127.0.0.2', '10.0.0.3', '9.0.0.2', '2001:db8::8', '2001:db9::7', '::1', '0.0.0.0'])
      assert.ok(!accepts(program, headerFrom(other)), other);
  }
  const tooMany = Array.from({ length: 500 }, (_, i) => `2001:db8::${i.toString(16)}`);
  assert.throws(() => filterProgram(tooMany), { name: 'UsageError', code: 'E_SOCKET_FILTER' });
});

test('addresses of the system tables are read', () => {
  assert.equal(addressOf('0100007F'), '127.0.0.1');
  assert.equal(addressOf('0000000000000000FFFF00000200000A'), '10.0.0.2');
  assert.equal(addressOf('B80D0120000000000000000007000000'), '2001:db8::7');
});

test('a system without such filters is refused by name', () => {
  assert.throws(() => assertFilterable('darwin'), { code: 'E_SOCKET_FILTER', message: /darwin/ });
});

test('a listening socket admits a neighbour and drops another one; who was there before is refused', async (t) => {
  if (process.platform !== 'linux') return t.skip('no such filter');
  const server = createServer().listen(0, '0.0.0.0');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const connects = async (from: string): Promise<boolean> => {
    const socket = new Socket();
    socket.connect({ port, host: '127.0.0.1', localAddress: from });
    const late = new Promise<boolean>((resolve) => setTimeout(resolve, 300, false));
    const isConnected = await Promise.race([
      once(socket, 'connect').then(
        () => true,
        () => false,
      ),
      late,
    ]);
    if (!isConnected) socket.destroy();
    else t.after(() => socket.destroy());
    return isConnected;
  };
  t.after(() => server.close());
  admitOnly(port, ['127.0.0.1']);
  assert.ok(await connects('127.0.0.1'));
  assert.ok(!(await connects('127.0.0.7')));
  assert.throws(() => admitOnly(port, ['127.0.0.9']), {
    code: 'E_UNEXPECTED_CONNECTION',
    message: /127\.0\.0\.1/,
  });
});
