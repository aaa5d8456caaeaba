/** kill -9 of the appliance: what was committed is whole, what was half-done is not shown as done, and it goes on. */

import { cp } from 'node:fs/promises';
import type { InstallTask, Operation, Server, Snapshot } from '@overdub/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { awaitSnapshotOrder, restoreDirectory, snapshotDirectory, stallingImager } from './agent.ts';
import { Appliance, configure, expectError } from './overdub.ts';
import { Room, until } from './room.ts';
import { ScriptedMachine } from './scripted-machine.ts';
import { digestsOf, expectWhole, makeTree } from './trees.ts';

const MAC = '52:54:00:fa:00:01';

let room: Room;
let config: string;
let appliance: Appliance;
let digests: Map<string, string>;

beforeEach(async () => {
  room = await Room.open();
  config = await configure(room);
  appliance = await Appliance.up(room, { config });
  await appliance.ask('server', 'create', 'web-1');
  digests = await digestsOf(await makeTree(room.path('root')));
  await snapshotDirectory(work());
});
afterEach(() => room.close());

/** The agent on the directory. */
function work() {
  const { url, token } = appliance;
  return { url, token, server: 'web-1', root: room.path('root'), own: room.path('agent') };
}

/** Pulls the plug of the appliance and starts it again on the same state and port. */
async function killAndRestart(): Promise<void> {
  const { port, token } = appliance;
  await appliance.kill();
  appliance = await Appliance.up(room, { config, port, token });
}

async function restored(snapshot: string): Promise<Map<string, string>> {
  const root = room.path(`restored-${snapshot}`);
  await restoreDirectory({ ...work(), root, own: room.path('agent-2') }, snapshot);
  return digestsOf(root);
}

describe('in mid-provision', () => {
  test('the operation goes on at the step it was in, and ends; the install order comes again', async () => {
    const machine = new ScriptedMachine(appliance.url, { mac: MAC });
    await machine.netboot();
    await appliance.ask('machine', 'accept', MAC);
    await machine.bootRamdisk();
    const { id } = await appliance.ask<Operation>('server', 'assign', 'web-1', MAC, '--no-wait');
    const ordered = (await machine.nextTask()) as InstallTask;
    expect(ordered).toMatchObject({ kind: 'install', server: { name: 'web-1', generation: 1 } });
    await machine.report(ordered, { state: 'running', progress: { doneBytes: 1000 } });

    await killAndRestart();
    const resumed = await appliance.operation(id);
    expect(['running', 'waiting']).toContain(resumed.state);
    expect(stepStates(resumed)).toMatchObject({
      claim: 'done',
      install: 'running',
      'await-server': 'pending',
    });
    expect(await appliance.records<Server>('/servers/web-1')).toMatchObject({ state: 'provisioning' });
    await expectWhole(appliance, 'web-1@latest', digests);

    const again = (await machine.nextTask()) as InstallTask;
    expect(again).toEqual(ordered);
    await machine.install(again);

    await killAndRestart();
    expect(await appliance.records<Server>('/servers/web-1')).toMatchObject({ state: 'provisioning' });
    await machine.bootServer(again.credential);
    const ended = await appliance.ask<Operation>('operation', 'show', id, '--wait');
    expect(ended).toMatchObject({ state: 'done', result: { server: 'web-1', diskPin: `disk-of-${MAC}` } });
    expect(await appliance.records<Server>('/servers/web-1')).toMatchObject({
      state: 'running',
      generation: 1,
    });
    await expectWhole(appliance, 'web-1@latest', digests);
  });

  test('before the machine came: the operation still waits for it, and says for which', async () => {
    const machine = new ScriptedMachine(appliance.url, { mac: MAC });
    await machine.netboot();
    await appliance.ask('machine', 'accept', MAC);
    const { id } = await appliance.ask<Operation>('server', 'assign', 'web-1', MAC, '--no-wait');
    await until('the operation asks for the machine', async () =>
      (await appliance.operation(id)).state === 'waiting' ? true : undefined,
    );
    await killAndRestart();
    const waiting = await until('the operation asks for the machine again', async () => {
      const operation = await appliance.operation(id);
      return operation.state === 'waiting' ? operation : undefined;
    });
    expect(waiting.attention).toMatch(/Power-cycle machine machine-fa0001/);
    await machine.bootRamdisk();
    expect(await machine.nextTask()).toMatchObject({ kind: 'install' });
  });
});

describe('in mid-snapshot', () => {
  test('nothing half-committed is listed, earlier ones restore, the next one gets through', async () => {
    await cp(room.path('root'), room.path('before'), { recursive: true });
    const [first] = await listed();
    await makeTree(room.path('root'), { dataBytes: 6_000_000 });
    const stall = stallingImager('var/lib/data');
    const half = snapshotDirectory({ ...work(), imager: stall.imager }).catch((error) => error);
    await stall.reached;
    const [open] = await appliance.records<Operation[]>('/operations?state=running');
    expect(open).toMatchObject({ kind: 'snapshot', server: 'web-1' });

    await killAndRestart();
    expect(await listed()).toEqual([first]);
    const ended = await appliance.operation(open?.id ?? '');
    expect(ended.state).toBe('failed');
    expectError(ended.error, 'AGENT_LOST', { says: /nothing was committed/, helps: /next interval/ });
    stall.release();
    expectError(await half, 'NOT_FOUND', { says: /task|transfer/, helps: /by itself|asks for work again/ });
    expect(await listed()).toEqual([first]);
    expect(await restored(first?.id ?? '')).toEqual(await digestsOf(room.path('before')));

    const second = await snapshotDirectory(work());
    expect((await listed()).map(({ id }) => id)).toEqual([first?.id, second.id]);
    expect(await restored(second.id)).toEqual(await digestsOf(room.path('root')));
    await expectWhole(appliance, `web-1@${first?.id}`, digests);
  });

  test('that was asked for by command: the command waits, the order comes again, and it ends', async () => {
    const machine = new ScriptedMachine(appliance.url, { mac: MAC });
    await machine.netboot();
    await appliance.ask('machine', 'accept', MAC);
    await machine.bootRamdisk();
    const { id } = await appliance.ask<Operation>('server', 'assign', 'web-1', MAC, '--no-wait');
    const credential = await machine.install((await machine.nextTask()) as InstallTask);
    await machine.bootServer(credential);
    await appliance.ask('operation', 'show', id, '--wait');

    const root = await makeTree(room.path('root'), { dataBytes: 2_000_000 });
    const agent = { ...work(), token: credential, server: 'web-1' };
    const command = appliance.ask<Operation>('snapshot', 'take', 'web-1');
    const ordered = await awaitSnapshotOrder(agent, async ({ task }) => task);
    await killAndRestart();
    await awaitSnapshotOrder(agent, async ({ task, carryOut }) => {
      expect(task).toEqual(ordered);
      await carryOut();
    });
    expect(await command).toMatchObject({ kind: 'snapshot', state: 'done' });
    expect(await listed()).toHaveLength(2);
    await expectWhole(appliance, 'web-1@latest', await digestsOf(root));
  });

  test('right after the commit: the snapshot is there and whole', async () => {
    await makeTree(room.path('root'), { dataBytes: 2_000_000 });
    const snapshot = await snapshotDirectory(work());
    await killAndRestart();
    expect((await listed()).map(({ id }) => id)).toContain(snapshot.id);
    await expectWhole(appliance, `web-1@${snapshot.id}`, await digestsOf(room.path('root')));
  });
});

function listed(): Promise<Snapshot[]> {
  return appliance.records<Snapshot[]>('/servers/web-1/snapshots');
}

function stepStates({ steps }: Operation): Record<string, string> {
  return Object.fromEntries(steps.map(({ name, state }) => [name, state]));
}
