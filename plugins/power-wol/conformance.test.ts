import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { Machine } from '@overdub/core';
import { powerConformance } from '@overdub/core/testing';
import { openUdp } from '@overdub/lib-netboot';
import { expect, test } from 'vitest';
import { magicPacket } from './magic.ts';
import { type WakeOptions, wakePower } from './wake.ts';

const MACS = ['52:54:00:00:00:01', '52:54:00:00:00:02'];
const machine = { id: 'm1', name: 'rack3-07', macs: MACS } as unknown as Machine;

/** A card on loopback: keeps what it hears. */
async function card() {
  const socket = await openUdp({ address: '127.0.0.1', port: 0 });
  const heard: string[] = [];
  socket.on('message', (bytes) => heard.push(bytes.toString('hex')));
  return {
    heard,
    options: { address: '127.0.0.1', port: socket.address().port } satisfies WakeOptions,
    close: async () => void socket.close(),
  };
}

powerConformance('power-wol', async () => {
  const { heard, options, close } = await card();
  const power = wakePower(machine, options);
  if (power === undefined) throw new Error('not ours');
  return {
    power,
    truth: async () => 'unknown',
    orders: async () => {
      await new Promise((resolve) => setTimeout(resolve, 50));
      return heard.splice(0).map(() => 'on');
    },
    unreachable: undefined,
    cleanUp: close,
  };
});

test('the packet is six times 255, sixteen times the address, and the password', () => {
  const packet = Buffer.from(magicPacket('52:54:00:0d:0b:01', '00:11:22:33:44:55')).toString('hex');
  expect(packet).toBe(`ffffffffffff${'5254000d0b01'.repeat(16)}001122334455`);
  expect(magicPacket('52:54:00:0d:0b:01')).toHaveLength(102);
});

test('every address of the machine hears it, with the password of the file', async () => {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'overdub-wol-'));
  const { heard, options, close } = await card();
  try {
    const secureOnFile = path.join(directory, 'password');
    await writeFile(secureOnFile, '00-11-22-33-44-55\n');
    await wakePower(machine, { ...options, secureOnFile })?.on(AbortSignal.timeout(5000));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(new Set(heard)).toEqual(
      new Set(MACS.map((mac) => Buffer.from(magicPacket(mac, '00:11:22:33:44:55')).toString('hex'))),
    );
    await writeFile(secureOnFile, 'secret');
    const wrong = wakePower(machine, { ...options, secureOnFile })?.on(AbortSignal.timeout(5000));
    await expect(wrong).rejects.toThrow(/no SecureOn password/);
  } finally {
    await close();
    await rm(directory, { recursive: true, force: true });
  }
});

test.each([
  [undefined, true],
  [['rack3-07'], true],
  [['52-54-00-00-00-02'], true],
  [['m1'], true],
  [['rack3-08'], false],
])('machines %s: ours is %s', (machines, ours) => {
  expect(wakePower(machine, machines === undefined ? {} : { machines }) !== undefined).toBe(ours);
});
