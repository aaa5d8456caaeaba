/** An agent that vanishes in mid-snapshot: the operation ends and says so, nothing half-done is listed. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import api from '@overdub/api-http';
import {
  type ApplianceControl,
  type Clock,
  createAppliance,
  type Appliance as Embedded,
} from '@overdub/core';
import { recordingLog } from '@overdub/core/testing';
import rsync from '@overdub/diff-rsync';
import zstd from '@overdub/diff-zstd';
import storage from '@overdub/storage-local';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { restoreDirectory, snapshotDirectory, stallingImager } from './agent.ts';
import { expectError } from './overdub.ts';
import { kill, Room, until } from './room.ts';
import { digestsOf, makeTree } from './trees.ts';

/** The appliance waits a minute for a silent agent; here its time passes ten times as fast. */
const PACE = 10;
const began = Date.now();
const fastClock: Clock = {
  now: () => began + (Date.now() - began) * PACE,
  async sleep(ms, signal) {
    await delay(ms / PACE, undefined, signal === undefined ? {} : { signal });
  },
};

let room: Room;
let appliance: Embedded;
let control: ApplianceControl;

beforeEach(async () => {
  room = await Room.open();
  appliance = await createAppliance(
    {
      plugins: [storage({ reserveBytes: 0 }), rsync(), zstd(), api()],
      http: { host: '127.0.0.1', port: 0 },
    },
    { stateDir: room.path('state'), clock: fastClock, log: recordingLog() },
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

  const ended = await until('the operation ends', async () => {
    const operation = await control.getOperation(open?.id ?? '');
    return operation.state === 'running' ? undefined : operation;
  });
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
