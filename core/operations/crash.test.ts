/** The appliance is killed at every single write of an operation; the next one takes it to the same end. */

import { describe, expect, it } from 'vitest';
import type { ImageSource } from '../contracts/image-source.ts';
import type { Operation } from '../domain/operation.ts';
import {
  acceptedMachine,
  bootableImage,
  type Ground,
  MAC_1,
  MAC_2,
  newGround,
  newWorld,
  runningServer,
  snapshotOf,
  type World,
  webMaster,
} from './fixture.ts';

/** Far more writes than any of these operations makes. */
const TOO_MANY = 80;

interface Flow {
  /** Sets the scene; returns what starts the operation. */
  prepare(world: World): Promise<() => Promise<Operation>>;
  /** Also given to the appliance that comes after the killed one. */
  equip?(world: World): void;
  check(world: World, end: Operation): Promise<void>;
}

const kinds = (world: World) => world.agents.done.map((task) => task.kind);

const provision: Flow = {
  async prepare(world) {
    await webMaster(world);
    const machineId = await acceptedMachine(world, MAC_1);
    await world.control.createServer({ name: 'web-1', master: 'web' }, 'test');
    return () => world.control.assignServer('web-1', machineId, 'test');
  },
  async check(world) {
    expect(await world.control.getServer('web-1')).toMatchObject({ state: 'running', generation: 1 });
    expect(kinds(world)).toEqual(['install', 'reboot']);
  },
};

const rollback: Flow = {
  async prepare(world) {
    await runningServer(world, MAC_1);
    const good = snapshotOf('web-1', world.clock.now(), bootableImage(world.repository, 'good'));
    await world.repository.commitSnapshot(good);
    world.agents.done.length = 0;
    return () => world.control.rollback({ server: 'web-1', to: good.id }, 'test');
  },
  async check(world, end) {
    expect(await world.control.getServer('web-1')).toMatchObject({ state: 'running', generation: 1 });
    expect(kinds(world)).toEqual(['reboot', 'snapshot', 'restore', 'reboot']);
    const snapshots = await world.control.listSnapshots('web-1');
    expect(snapshots.filter((each) => each.reason === 'safety')).toHaveLength(1);
    const target = snapshots.find((each) => each.id === end.parameters.snapshot);
    expect(world.agents.diskOf(String(end.result?.machine))).toBe(target?.manifest.root);
  },
};

const move: Flow = {
  async prepare(world) {
    await runningServer(world, MAC_1);
    const newId = await acceptedMachine(world, MAC_2);
    await world.repository.commitSnapshot(
      snapshotOf('web-1', world.clock.now(), bootableImage(world.repository, 'latest')),
    );
    world.agents.done.length = 0;
    return () => world.control.move({ server: 'web-1', machine: newId }, 'test');
  },
  async check(world, end) {
    expect(await world.control.getServer('web-1')).toMatchObject({
      state: 'running',
      generation: 2,
      machineId: end.machineId,
    });
    expect(kinds(world)).toEqual(['reboot', 'install', 'reboot']);
    const running = (await world.control.listMachines()).filter(
      ({ id }) => world.agents.present({ machineId: id, where: 'server' }) !== undefined,
    );
    expect(running.map(({ id }) => id)).toEqual([end.machineId]);
  },
};

const source: ImageSource = {
  async *entries() {
    const text = Buffer.from('\x7fELF\x02\x01\x01'.padEnd(18, '\0'), 'latin1');
    const common = { type: 'file', mode: 0o755, uid: 0, gid: 0, mtimeNs: '1' } as const;
    const elf = Buffer.concat([text, Buffer.from([62, 0])]);
    const file = (path: string) => ({
      entry: { ...common, path },
      bytes: elf.length,
      async *open() {
        yield elf;
      },
    });
    for (const path of ['boot/initrd.img-6.1', 'boot/vmlinuz-6.1', 'usr/bin/dash']) yield file(path);
  },
  close: async () => undefined,
};

const importing: Flow = {
  async prepare(world) {
    return () => world.control.importMaster({ name: 'web', source: '/' }, 'test');
  },
  equip: (world) => world.sources.set('/', () => source),
  async check(world) {
    expect(await world.repository.listMasters()).toMatchObject([{ name: 'web', version: 1, arch: 'x86_64' }]);
    expect(world.repository.openSessions).toBeLessThanOrEqual(1);
  },
};

describe.each(Object.entries({ provision, rollback, move, import: importing }))('%s', (_name, flow) => {
  it('comes to the same end, killed at whichever write', async () => {
    let killAt = 1;
    for (; killAt < TOO_MANY; killAt++) {
      const own = await newGround();
      try {
        if (await survives(own, flow, killAt)) break;
      } finally {
        await own.clear();
      }
    }
    // It was killed at every write of the operation, then once not at all.
    expect(killAt).toBeGreaterThan(3);
    expect(killAt).toBeLessThan(TOO_MANY);
  });
});

/** True when the operation ended before the write at which the appliance was to be killed. */
async function survives(own: Ground, flow: Flow, killAt: number): Promise<boolean> {
  let armed = false;
  let writes = 0;
  let killed = false;
  const first = await newWorld(own, {
    beforeSave: async () => {
      if (!armed) return;
      writes += 1;
      killed ||= writes >= killAt;
      if (killed) await new Promise(() => undefined);
    },
  });
  flow.equip?.(first);
  const start = await flow.prepare(first);
  armed = true;
  let operation: Operation | undefined;
  const starting = start().then((submitted) => {
    operation = submitted;
  });
  for (let second = 0; !killed && second < 600; second++) {
    await own.clock.advance(1000);
    const done = operation !== undefined && (await first.catalogue.operations.get(operation.id))?.endedAt;
    if (done !== undefined && done !== false) break;
  }
  if (!killed) await starting;
  await first.kill();
  const second = await newWorld(own);
  flow.equip?.(second);
  try {
    await second.engine.resume();
    if (operation === undefined) {
      // Killed before the order was durable: nobody was told that it stands.
      expect(await second.control.listOperations({ state: 'queued' })).toEqual([]);
      return false;
    }
    const end = await endOf(second, operation.id);
    expect(end).toMatchObject({ state: 'done' });
    await flow.check(second, end);
    return !killed;
  } finally {
    await second.close();
  }
}

async function endOf(world: World, id: string): Promise<Operation> {
  for (let second = 0; second < 3600; second++) {
    const operation = await world.engine.get(id);
    if (operation.endedAt !== undefined) return operation;
    await world.clock.advance(1000);
  }
  throw new Error('it does not end after the restart');
}
