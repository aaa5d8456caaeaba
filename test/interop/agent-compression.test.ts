/** A server's machine compresses what it sends as its server says. */

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { COMPRESSIONS, type Compression } from '../../core/domain/server.ts';
import { takeSnapshot } from '../../plugins/agent/program/transfer/snapshot.ts';
import { World } from './agent-world.ts';

let world: World;

beforeEach(async () => {
  world = await World.create();
});
afterEach(() => world.end());

it('is sent in fewer bytes where it may cost more', async () => {
  const word = (at: number) => (Math.imul(at * at + 7 * at, 2654435761) >>> 12).toString(36);
  const words = Array.from({ length: 300_000 }, (_, at) => `${word((at * at) % 4001)} ${word(at % 977)}`);
  const sent = new Map<Compression, number>();
  for (const compression of COMPRESSIONS) {
    const server = `web-${compression}`;
    const root = await world.makeRoot(compression);
    await writeFile(join(root, 'text'), `${compression} ${words.join(' ')}`);
    const appliance = world.connect(server);
    const task = await appliance.beginSnapshot({ server, reason: 'manual' }, world.signal);
    const context = world.context(appliance, root);
    const { stats } = await takeSnapshot(context, { ...task, server: { ...task.server, compression } });
    sent.set(compression, stats.bytesReceived);
  }
  expect(sent.get('small')).toBeLessThan(0.98 * (sent.get('fast') as number));
});
