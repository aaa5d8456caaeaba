/** A snapshot leaves its server's users the line; a restore takes what it can get. */

import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { takeSnapshot } from '../../plugins/agent/program/transfer/snapshot.ts';
import { World } from './agent-world.ts';

const BANDWIDTH = 150_000;
const BYTES = 400_000;

let world: World;

beforeEach(async () => {
  world = await World.create();
});
afterEach(() => world.end());

it('sends no more bytes a second than its server may, and all of them', async () => {
  const root = await world.makeRoot('root');
  const content = randomBytes(BYTES);
  await writeFile(join(root, 'large'), content);
  const appliance = world.connect();
  const task = await appliance.beginSnapshot({ server: 'web-1', reason: 'manual' }, world.signal);
  const began = performance.now();
  await takeSnapshot(world.context(appliance, root), {
    ...task,
    server: { ...task.server, bandwidth: BANDWIDTH },
  });
  // The first turn is not waited for.
  expect((performance.now() - began) / 1000).toBeGreaterThan(BYTES / BANDWIDTH - 0.3);
  const copy = await world.makeRoot('copy');
  await world.restore(copy, 'latest');
  expect((await readFile(join(copy, 'large'))).equals(content)).toBe(true);
});
