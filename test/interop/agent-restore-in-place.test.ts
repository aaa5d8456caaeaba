/** A restore over what is there: every byte of it is read, whatever its times and the root's record say. */

import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { restoreImage } from '../../plugins/agent/program/transfer/restore.ts';
import { World } from './agent-world.ts';

let world: World;
beforeEach(async () => {
  world = await World.create();
});
afterEach(() => world.end());

it('makes right what was altered with its length and times kept', async () => {
  const root = await world.makeRoot('root');
  await mkdir(join(root, 'etc'));
  await writeFile(join(root, 'etc/hosts'), '127.0.0.1 localhost\n');
  const table = join(root, 'table');
  const bytes = randomBytes(3_000_000);
  await writeFile(table, bytes);
  const snapshot = await world.snapshot(root);
  const { atime, mtime } = await stat(table);
  const file = await open(table, 'r+');
  await file.write('intruder', 1_234_567);
  await file.close();
  await utimes(table, atime, mtime);

  const record = join(world.dir, 'agent-state/record');
  const appliance = world.connect();
  const request = { server: 'web-1', selector: snapshot.id, dryRun: false, keep: [], only: [] };
  const task = await appliance.beginRestore(request, world.signal);
  const context = { ...world.context(appliance, root), workDir: join(world.dir, 'work'), record };
  const order = { ...task, server: 'web-1', excludes: [] };
  expect(await restoreImage(context, order)).toMatchObject({ written: 1 });
  expect((await readFile(table)).equals(bytes)).toBe(true);
  // A record that was cut off gives less, and is no failure.
  const kept = await readFile(record);
  await writeFile(record, kept.subarray(0, kept.length - 10));
  expect(await restoreImage(context, order)).toMatchObject({ written: 0, removed: 0 });
});
