/** Machines that cannot have what was asked: told at once, and nothing is begun. */

import type { Machine, Operation, Server } from '@overdub/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { snapshotDirectory } from './agent.ts';
import { Appliance, configure, expectError, expectFailure, PLUGINS } from './overdub.ts';
import { Room } from './room.ts';
import { Refused, ScriptedMachine } from './scripted-machine.ts';
import { makeTree, type TreeOptions } from './trees.ts';

const UUID = '3f1c9a60-5d0e-4c57-9a3b-6f2f8d3c1a77';
const MAC = '52:54:00:fa:00:01';
const OTHER_MAC = '52:54:00:fa:00:02';
const MIB = 1024 * 1024;

let room: Room;
let appliance: Appliance;

beforeEach(async () => {
  room = await Room.open();
});
afterEach(() => room.close());

async function begin(plugins = PLUGINS): Promise<void> {
  appliance = await Appliance.up(room, { config: await configure(room, { plugins }) });
}

/** A server that has a past: one snapshot of a small tree. */
async function serverWithPast(name: string, options: TreeOptions = {}): Promise<void> {
  await appliance.ask('server', 'create', name);
  const root = await makeTree(room.path(`root-of-${name}`), options);
  const { url, token } = appliance;
  await snapshotDirectory({ url, token, server: name, root, own: room.path('agent') });
}

async function acceptedMachine(mac: string, diskBytes: number): Promise<void> {
  const machine = new ScriptedMachine(appliance.url, { mac, diskBytes });
  await machine.netboot();
  await appliance.ask('machine', 'accept', mac);
  expect(await machine.bootRamdisk()).toMatchObject({ standing: 'waiting' });
}

/** Only what the test's own snapshot left behind; the server is where it was. */
async function expectNothingBegun(server: string): Promise<void> {
  const operations = await appliance.records<Operation[]>(`/operations?server=${server}`);
  expect(operations.map(({ kind, state }) => [kind, state])).toEqual([['snapshot', 'done']]);
  const shown = await appliance.records<Server>(`/servers/${server}`);
  expect(shown).toMatchObject({ state: 'enrolled', generation: 0 });
  expect(shown.machineId).toBeUndefined();
}

describe('no disk big enough', () => {
  test('is said with what is needed and what is there; nothing is begun', async () => {
    await begin();
    await serverWithPast('web-1');
    await acceptedMachine(MAC, 100 * MIB);
    expectFailure(await appliance.cli('server', 'assign', 'web-1', MAC), 'DISK_UNSUITABLE', {
      says: /no disk of 5\d\d MiB or more: vda 100 MiB/,
      helps: /larger disk/,
    });
    await expectNothingBegun('web-1');
    const machine = await appliance.ask<Machine>('machine', 'show', MAC);
    expect(machine.serverName).toBeUndefined();
  });

  test('for a move: the server stays where it is', async () => {
    await begin();
    await serverWithPast('web-1');
    await acceptedMachine(MAC, 100 * MIB);
    expectFailure(await appliance.cli('move', 'web-1', '--to', MAC), 'DISK_UNSUITABLE', {
      says: 'vda 100 MiB',
      helps: /larger disk/,
    });
    await expectNothingBegun('web-1');
  });

  test('the same machine with a larger disk gets the server', async () => {
    await begin();
    await serverWithPast('web-1');
    await acceptedMachine(MAC, 1024 * MIB);
    const operation = await appliance.ask<Operation>('server', 'assign', 'web-1', MAC, '--no-wait');
    expect(operation).toMatchObject({ kind: 'provision', server: 'web-1' });
  });
});

describe('two machines claiming one UUID', () => {
  test('are two records; the second is held, and its reason names the first', async () => {
    await begin();
    await new ScriptedMachine(appliance.url, { mac: MAC, uuid: UUID }).netboot();
    await new ScriptedMachine(appliance.url, { mac: OTHER_MAC, uuid: UUID }).netboot();
    const [first, second] = await machines();
    expect(first).toMatchObject({ macs: [MAC], uuid: UUID });
    expect(second).toMatchObject({ macs: [OTHER_MAC], admission: 'held' });
    expect(second?.admissionReason).toMatch(`claims the SMBIOS UUID of ${first?.name}`);
    expect(second?.admissionReason).toMatch(/forget the old record/);
  });

  test('even where every machine is let in: the second gets no server until a person accepts it', async () => {
    const discovery = { plugin: 'discovery-netboot', options: { admission: 'accept' } };
    await begin(PLUGINS.map((plugin) => (plugin === 'discovery-netboot' ? discovery : plugin)));
    await serverWithPast('web-1');
    await new ScriptedMachine(appliance.url, { mac: MAC, uuid: UUID }).bootRamdisk();
    const second = new ScriptedMachine(appliance.url, { mac: OTHER_MAC, uuid: UUID });
    expect(await second.bootRamdisk()).toMatchObject({ standing: 'held' });
    expect((await machines()).map(({ admission }) => admission)).toEqual(['accepted', 'held']);
    expectFailure(await appliance.cli('server', 'assign', 'web-1', OTHER_MAC), 'MACHINE_HELD', {
      says: /claims the SMBIOS UUID/,
      helps: /overdub machine accept/,
    });
    await expectNothingBegun('web-1');
    await appliance.ask('machine', 'accept', OTHER_MAC);
    await appliance.ask('server', 'assign', 'web-1', OTHER_MAC, '--no-wait');
  });

  test('cannot take one another’s boot nonce: the thief is held', async () => {
    const discovery = { plugin: 'discovery-netboot', options: { admission: 'accept' } };
    await begin(PLUGINS.map((plugin) => (plugin === 'discovery-netboot' ? discovery : plugin)));
    const honest = new ScriptedMachine(appliance.url, { mac: MAC, uuid: UUID });
    const thief = new ScriptedMachine(appliance.url, { mac: OTHER_MAC, uuid: UUID });
    // It boots under the honest one's MAC address, and its hardware tells another story.
    const welcome = await honest.bootRamdisk(thief.facts);
    expect(welcome).toMatchObject({ standing: 'held' });
    const held = (await machines()).find(({ id }) => id === welcome.machineId);
    expect(held?.admissionReason).toMatch(/boot nonce of machine-fa0001, but reports other hardware/);
  });
});

describe('an unknown architecture', () => {
  test('of a booting firmware is refused with those that are known', async () => {
    await begin();
    const answer = await fetch(`${appliance.url}/boot/ipxe/script?mac=${MAC}&arch=riscv64`);
    expect([answer.status, await answer.text()]).toEqual([
      400,
      expect.stringMatching(/bios-x86.*uefi-x86_64/),
    ]);
    expect(await machines()).toEqual([]);
  });

  test('reported by an agent is refused, and what is supported is said', async () => {
    await begin();
    const machine = new ScriptedMachine(appliance.url, { mac: MAC });
    const refused = await machine.bootRamdisk({ ...machine.facts, arch: 'riscv64' }).catch((error) => error);
    expect(refused).toBeInstanceOf(Refused);
    expectError((refused as Refused).error, 'ARCH_UNKNOWN', { says: 'riscv64', helps: /x86_64/ });
    const [record] = await machines();
    expect(record?.facts).toBeUndefined();
  });
});

function machines(): Promise<Machine[]> {
  return appliance.records<Machine[]>('/machines');
}
