/** An agent that vanishes in mid-snapshot: the operation ends and says so, nothing half-done is listed. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import api from '@overdub/api-http';
import ipxe from '@overdub/boot-ipxe';
import {
  type ApplianceControl,
  type Clock,
  createAppliance,
  type Appliance as Embedded,
  type InstallTask,
} from '@overdub/core';
import { recordingLog } from '@overdub/core/testing';
import rsync from '@overdub/diff-rsync';
import zstd from '@overdub/diff-zstd';
import storage from '@overdub/storage-local';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { awaitSnapshotOrder, restoreDirectory, snapshotDirectory, stallingImager } from './agent.ts';
import { expectError } from './overdub.ts';
import { kill, Room, until } from './room.ts';
import { ScriptedMachine } from './scripted-machine.ts';
import { digestsOf, makeTree } from './trees.ts';

/** Time that passes as usual until the test has seen enough, then faster: agents get minutes to come back. */
class PacedClock implements Clock {
  #pace = 1;
  #realStart = Date.now();
  #start = this.#realStart;

  now(): number {
    return this.#start + (Date.now() - this.#realStart) * this.#pace;
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    await delay(ms / this.#pace, undefined, signal === undefined ? {} : { signal });
  }

  /** `pace` seconds pass in each real one. Sleeps that have begun go on at their old pace. */
  run(pace: number): void {
    this.#start = this.now();
    this.#realStart = Date.now();
    this.#pace = pace;
  }
}

let clock: PacedClock;
let room: Room;
let appliance: Embedded;
let control: ApplianceControl;

beforeEach(async () => {
  room = await Room.open();
  clock = new PacedClock();
  appliance = await createAppliance(
    {
      plugins: [storage({ reserveBytes: 0 }), rsync(), zstd(), ipxe(), api()],
      http: { host: '127.0.0.1', port: 0 },
    },
    { stateDir: room.path('state'), clock, log: recordingLog() },
  );
  room.defer(() => appliance.stop());
  await appliance.start();
  control = appliance.control;
});
afterEach(() => room.close());

function work() {
  const { url, firstToken: token = '' } = appliance;
  return { url, token, server: 'web-1', root: room.path('root'), own: room.path('agent') };
}

test('killed while it sends: AGENT_LOST, the earlier snapshot restores, the next one gets through', async () => {
  await control.createServer({ name: 'web-1' }, 'test');
  const before = await digestsOf(await makeTree(room.path('root')));
  const first = await snapshotDirectory(work());
  await makeTree(room.path('root'), { dataBytes: 6_000_000 });

  const program = fileURLToPath(new URL('stalling-agent.ts', import.meta.url));
  const order = JSON.stringify({ ...work(), path: 'var/lib/data' });
  const child = spawn(process.execPath, ['--conditions=overdub-source', program, order], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  room.adopt(child);
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  expect(String(said)).toBe('stalled\n');
  const [open] = await control.listOperations({ state: 'running' });
  expect(open).toMatchObject({ kind: 'snapshot', server: 'web-1' });
  await kill(child);
  clock.run(60);

  const ended = await until('the operation ends', async () => {
    const operation = await control.getOperation(open?.id ?? '');
    return operation.state === 'running' ? undefined : operation;
  });
  clock.run(1);
  expect(ended.state).toBe('failed');
  expectError(ended.error, 'AGENT_LOST', { says: /agent of web-1 went silent/, helps: /machine is on/ });
  expect((await control.listSnapshots('web-1')).map(({ id }) => id)).toEqual([first.id]);
  const restored = room.path('restored');
  await restoreDirectory({ ...work(), root: restored, own: room.path('agent-2') }, first.id);
  expect(await digestsOf(restored)).toEqual(before);

  const second = await snapshotDirectory(work());
  await restoreDirectory({ ...work(), root: restored, own: room.path('agent-2') }, second.id);
  expect(await digestsOf(restored)).toEqual(await digestsOf(room.path('root')));
});

test('gone after it took a command’s order: AGENT_LOST after some tries, and the server is not busy any more', async () => {
  await control.createServer({ name: 'web-1' }, 'test');
  await makeTree(room.path('root'), { dataBytes: 100_000 });
  const first = await snapshotDirectory(work());
  const machine = new ScriptedMachine(appliance.url, { mac: '52:54:00:fa:00:01' });
  await machine.netboot();
  const { id } = await control.acceptMachine(machine.hardware.mac, 'test');
  await machine.bootRamdisk();
  const provision = await control.assignServer('web-1', id, 'test');
  const credential = await machine.install((await machine.nextTask()) as InstallTask);
  await machine.bootServer(credential);
  expect(await control.waitOperation(provision.id, {})).toMatchObject({ state: 'done' });

  const { id: operation } = await control.takeSnapshot('web-1', 'test');
  await awaitSnapshotOrder({ ...work(), token: credential }, async () => undefined);
  clock.run(60);
  const ended = await control.waitOperation(operation, {});
  expect(ended.state).toBe('failed');
  expectError(ended.error, 'AGENT_LOST', { says: /agent of web-1 went silent/, helps: /machine is on/ });
  expect((await control.listSnapshots('web-1')).map((each) => each.id)).toEqual([first.id]);
  expect(await control.getServer('web-1')).toMatchObject({ state: 'running' });
  expect(await control.listOperations({ state: 'running' })).toEqual([]);
});

test('a second snapshot while one is under way is refused, and told which', async () => {
  await control.createServer({ name: 'web-1' }, 'test');
  await makeTree(room.path('root'), { dataBytes: 100_000 });
  const stall = stallingImager('var/lib/data');
  const first = snapshotDirectory({ ...work(), imager: stall.imager });
  await stall.reached;
  const second = await snapshotDirectory({ ...work(), own: room.path('agent-2') }).catch((error) => error);
  expectError(second, 'CONFLICT', { says: /web-1 is busy: snapshot op/, helps: /overdub operation show/ });
  stall.release();
  expect(await first).toMatchObject({ server: 'web-1' });
});
