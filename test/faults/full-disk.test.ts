/** The repository's disk is full: nothing half-done counts, what was committed stays, and room helps. */

import { execFileSync } from 'node:child_process';
import { open, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { ErrorBody, Operation, Snapshot } from '@overdub/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { snapshotDirectory } from './agent.ts';
import { Appliance, configure, expectError, expectFailure, overdub } from './overdub.ts';
import { isRoot, Room } from './room.ts';
import { digestsOf, expectWhole, makeTree } from './trees.ts';

const MIB = 1024 * 1024;
const DISK_MIB = 48;

let room: Room;
let disk: string;
let appliance: Appliance;

beforeEach(async () => {
  room = await Room.open();
});
afterEach(() => room.close());

/** A disk of 48 MiB: ext4 on a loop device. */
async function mountDisk(): Promise<void> {
  const image = room.path('disk.img');
  const file = await open(image, 'w');
  await file.truncate(DISK_MIB * MIB);
  await file.close();
  execFileSync('mkfs.ext4', ['-q', '-m', '0', '-F', image]);
  disk = await room.mount('disk', ['-t', 'ext4', '-o', 'loop'], image);
}

function work() {
  const { url, token } = appliance;
  return { url, token, server: 'web-1', root: room.path('root'), own: room.path('agent') };
}

async function snapshots(): Promise<Snapshot[]> {
  return appliance.records<Snapshot[]>('/servers/web-1/snapshots');
}

/** Takes all the room that is left, as somebody else's files do. */
async function fillDisk(): Promise<void> {
  const { bavail, bsize } = await statfs(disk);
  try {
    execFileSync('fallocate', ['-l', String(bavail * bsize), join(disk, 'ballast')], { stdio: 'pipe' });
  } catch {
    // Not to the last block: the rest is taken byte by byte until there is none.
  }
  const file = await open(join(disk, 'ballast-2'), 'w');
  try {
    for (;;) await file.write(Buffer.alloc(4096, 1));
  } catch (error) {
    expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC');
  } finally {
    await file.close();
  }
}

const FULL = { says: /no room left.*nothing was committed/, helps: /Make room on the disk.*larger disk/ };

/** The repository on the small disk; the appliance's state there too, as by default, or elsewhere. */
describe.skipIf(!isRoot).each([
  ['with the state beside it', 'disk'],
  ['with the state elsewhere', 'elsewhere'],
] as const)(`a full repository disk, %s${isRoot ? '' : ' (skipped: needs root)'}`, (_, where) => {
  let config: string;
  let state: string;
  let digests: Map<string, string>;
  let first: Snapshot;

  beforeEach(async () => {
    await mountDisk();
    state = where === 'disk' ? join(disk, 'state') : room.path('state');
    config = await configure(
      room,
      where === 'disk' ? {} : { repository: `file://${join(disk, 'repository')}` },
    );
    appliance = await Appliance.up(room, { config, state });
    await appliance.ask('server', 'create', 'web-1');
    digests = await digestsOf(await makeTree(room.path('root')));
    first = await snapshotDirectory(work());
  });

  test('a snapshot larger than it is REPOSITORY_FULL; earlier ones are whole', async () => {
    await makeTree(room.path('root'), { dataBytes: 60 * MIB });
    const failure = (await snapshotDirectory(work()).catch((error) => error)) as ErrorBody;
    expectError(failure, 'REPOSITORY_FULL', FULL);
    expect((await snapshots()).map(({ id }) => id)).toEqual([first.id]);
    const [operation] = await appliance.records<Operation[]>('/operations?state=failed');
    expectError(operation?.error, 'REPOSITORY_FULL', FULL);
    await expectWhole(appliance, 'web-1@latest', digests);
    digests = await digestsOf(await makeTree(room.path('root'), { dataBytes: MIB }));
    await snapshotDirectory(work());
    await expectWhole(appliance, 'web-1@latest', digests);
  });

  test('an import larger than it is REPOSITORY_FULL; no master is listed', async () => {
    await makeTree(room.path('root'), { dataBytes: 60 * MIB });
    const ended = await appliance.cli('master', 'import', 'web', room.path('root'));
    expectFailure(ended, 'REPOSITORY_FULL', FULL);
    expect(await appliance.records('/masters')).toEqual([]);
    const [operation] = await appliance.records<Operation[]>('/operations?state=failed');
    expectError(operation?.error, 'REPOSITORY_FULL', FULL);
    await expectWhole(appliance, 'web-1@latest', digests);
  });

  test('that others filled: what is there restores, snapshots can be removed, room makes it work again', async () => {
    await fillDisk();
    await expectWhole(appliance, 'web-1@latest', digests);
    await makeTree(room.path('root'), { dataBytes: 8 * MIB });
    const failure = (await snapshotDirectory(work()).catch((error) => error)) as ErrorBody;
    if (where === 'elsewhere') expectError(failure, 'REPOSITORY_FULL', FULL);
    else expectError(failure, 'STATE_UNWRITABLE', { says: /disk is full/, helps: /free space/ });
    expect((await snapshots()).map(({ id }) => id)).toEqual([first.id]);
    await appliance.ask('snapshot', 'remove', `web-1@${first.id}`);
    expect(await snapshots()).toEqual([]);

    await makeRoom();
    const second = await snapshotDirectory(work());
    expect((await snapshots()).map(({ id }) => id)).toEqual([second.id]);
    await expectWhole(appliance, 'web-1@latest', await digestsOf(room.path('root')));
  });

  test('that others filled while it was off: it starts, or says that it cannot write; then all is whole', async () => {
    const { port, token } = appliance;
    await fillDisk();
    await appliance.kill();
    if (where === 'disk') {
      const ended = await overdub(room, ['up', '--config', config, '--state', state]);
      expectFailure(ended, 'STATE_UNWRITABLE', { says: /no space left/, helps: /free space/ });
      await makeRoom();
    }
    appliance = await Appliance.up(room, { config, state, port, token });
    await expectWhole(appliance, 'web-1@latest', digests);
  });
});

async function makeRoom(): Promise<void> {
  for (const name of ['ballast', 'ballast-2']) await rm(join(disk, name), { force: true });
}
