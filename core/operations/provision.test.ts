import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Operation } from '../domain/operation.ts';
import { OverdubError } from '../errors.ts';
import {
  acceptedMachine,
  bootableImage,
  bootRequest,
  ended,
  factsOf,
  fileEntry,
  type Ground,
  installTasks,
  MAC_1,
  MIB,
  newGround,
  newWorld,
  runningServer,
  snapshotOf,
  taskNames,
  until,
  type World,
  webMaster,
} from './fixture.ts';

let ground: Ground;
let world: World;

beforeEach(async () => {
  ground = await newGround();
  world = await newWorld(ground);
});
afterEach(async () => {
  await world.close();
  await ground.clear();
});

describe('provision', () => {
  it('makes a server of a waiting machine', async () => {
    const { machineId, provisioned } = await runningServer(world);
    expect(taskNames(world)).toEqual(['install', 'reboot-local']);
    expect(provisioned).toMatchObject({ state: 'done', result: { machine: machineId, image: 'web@1' } });
    expect(await world.control.getServer('web-1')).toMatchObject({
      state: 'running',
      machineId,
      generation: 1,
    });
    expect(await world.control.getMachine(machineId)).toMatchObject({
      serverName: 'web-1',
      generation: 1,
      diskPin: `disk-of-${machineId}`,
    });
    expect((await world.netboot.answer(bootRequest(MAC_1))).plan.kind).toBe('local');
    expect(await world.netboot.reservation(MAC_1)).toEqual({ address: '10.0.0.17', hostname: 'web-1' });
    expect(installTasks(world)[0]).toMatchObject({ fresh: true, server: { name: 'web-1', generation: 1 } });
  });

  it('gives the installed agent a credential that works, for this server and generation only', async () => {
    await runningServer(world);
    const hello = {
      protocol: 1,
      where: 'server',
      bootId: 'b',
      credential: installTasks(world)[0]?.credential ?? '',
      facts: factsOf(MAC_1),
    } as const;
    const { identity, welcome } = await world.policy.admit(hello, { ip: '' });
    expect(identity).toMatchObject({ server: 'web-1', generation: 1, standing: 'assigned' });
    expect(welcome.server).toBe('web-1');
    await world.control.releaseServer('web-1', 'test');
    expect((await world.policy.admit(hello, { ip: '' })).identity).toMatchObject({ standing: 'held' });
    expect((await world.policy.admit(hello, { ip: '' })).identity.server).toBeUndefined();
  });

  it('waits for a machine that is off, and names it', async () => {
    await webMaster(world);
    const machineId = await acceptedMachine(world, MAC_1);
    const { name } = await world.control.getMachine(machineId);
    world.agents.powerOff(machineId);
    await world.control.createServer({ name: 'web-1', master: 'web' }, 'test');
    const operation = await world.control.assignServer('web-1', machineId, 'test');
    await until(world, async () => (await world.engine.get(operation.id)).state === 'waiting');
    expect((await world.engine.get(operation.id)).attention).toContain(name);
    await world.agents.powerOn(machineId);
    expect(await ended(world, operation)).toMatchObject({ state: 'done' });
    expect((await world.engine.get(operation.id)).attention).toBeUndefined();
  });

  it('switches on a machine that is off and has a power driver, once, and asks nobody', async () => {
    await webMaster(world);
    const machineId = await acceptedMachine(world, MAC_1);
    world.agents.powerOff(machineId);
    const orders: string[] = [];
    const order = (name: string) => async (): Promise<void> => {
      orders.push(name);
      if (name === 'cycle') await world.agents.powerOn(machineId);
    };
    world.hooks.tapsFor('power-test').boot.power.tap(({ machine }) =>
      machine.id === machineId
        ? {
            where: 'test',
            features: { off: false, cycle: true, state: false, netboot: true },
            on: order('on'),
            cycle: order('cycle'),
            netboot: order('netboot'),
          }
        : undefined,
    );
    await world.control.createServer({ name: 'web-1', master: 'web' }, 'test');
    const operation = await world.control.assignServer('web-1', machineId, 'test');
    expect(await ended(world, operation)).toMatchObject({ state: 'done' });
    expect(orders).toEqual(['netboot', 'cycle']);
  });

  it('asks somebody after all when its power was switched and nothing came of it', async () => {
    await webMaster(world);
    const machineId = await acceptedMachine(world, MAC_1);
    world.agents.powerOff(machineId);
    const orders: string[] = [];
    world.hooks.tapsFor('power-test').boot.power.tap(() => ({
      where: 'test',
      features: { off: false, cycle: false, state: false, netboot: false },
      on: async () => void orders.push('on'),
    }));
    await world.control.createServer({ name: 'web-1', master: 'web' }, 'test');
    const { id } = await world.control.assignServer('web-1', machineId, 'test');
    await until(world, async () => orders.length > 0);
    expect((await world.engine.get(id)).attention).toBeUndefined();
    await until(world, async () => {
      await world.clock.advance(10_000);
      return (await world.engine.get(id)).state === 'waiting';
    });
    expect(orders).toEqual(['on']);
  });

  it('can be cancelled while it waits; the machine is free again', async () => {
    await webMaster(world);
    const machineId = await acceptedMachine(world, MAC_1);
    world.agents.powerOff(machineId);
    await world.control.createServer({ name: 'web-1', master: 'web' }, 'test');
    const operation = await world.control.assignServer('web-1', machineId, 'test');
    await until(world, async () => (await world.engine.get(operation.id)).state === 'waiting');
    expect((await world.control.cancelOperation(operation.id, 'ann')).state).toBe('cancelled');
    expect((await world.control.getMachine(machineId)).serverName).toBeUndefined();
    const server = await world.control.getServer('web-1');
    expect(server).toMatchObject({ state: 'unassigned', generation: 1 });
    expect(server.machineId).toBeUndefined();
  });

  it('goes on when the machine loses power in mid-install', async () => {
    await webMaster(world);
    const machineId = await acceptedMachine(world, MAC_1);
    await world.control.createServer({ name: 'web-1', master: 'web' }, 'test');
    let cut = false;
    world.agents.beforeTask = (task) => {
      if (task.kind !== 'install' || cut) return;
      cut = true;
      world.agents.powerOff(machineId);
      throw new OverdubError('AGENT_LOST', 'power cut', '');
    };
    const operation = await world.control.assignServer('web-1', machineId, 'test');
    await until(world, async () => (await world.engine.get(operation.id)).state === 'waiting');
    expect((await world.netboot.answer(bootRequest(MAC_1))).plan.kind).toBe('ramdisk');
    await world.agents.powerOn(machineId);
    expect(await ended(world, operation)).toMatchObject({ state: 'done' });
    const steps = (await world.engine.get(operation.id)).steps;
    expect(steps.find((step) => step.name === 'install')?.attempts).toBe(2);
  });

  it('fails with the agent’s own error, and lets go of the machine', async () => {
    await webMaster(world);
    const machineId = await acceptedMachine(world, MAC_1);
    await world.control.createServer({ name: 'web-1', master: 'web' }, 'test');
    world.agents.beforeTask = () => {
      throw new OverdubError('DISK_UNSUITABLE', 'the disk is read-only', 'replace it');
    };
    const end = await ended(world, await world.control.assignServer('web-1', machineId, 'test'));
    expect(end).toMatchObject({ state: 'failed', error: { code: 'DISK_UNSUITABLE' } });
    expect((await world.control.getServer('web-1')).state).toBe('failed');
    expect((await world.control.getMachine(machineId)).serverName).toBeUndefined();
    world.agents.beforeTask = () => undefined;
    expect(await ended(world, await world.control.assignServer('web-1', machineId, 'test'))).toMatchObject({
      state: 'done',
    });
    expect((await world.control.getServer('web-1')).generation).toBe(2);
  });

  it.each([
    ['a held machine', 'MACHINE_HELD'],
    ['a disk that is too small', 'DISK_UNSUITABLE'],
    ['a master without a kernel', 'MASTER_UNBOOTABLE'],
    ['another architecture', 'CONFLICT'],
    ['a machine that carries another server', 'CONFLICT'],
    ['a server without master or past', 'CONFLICT'],
  ])('refuses %s at once', async (what, code) => {
    await webMaster(world);
    const { repository, control } = world;
    if (what === 'a master without a kernel') {
      const [master] = await repository.listMasters();
      const manifest = repository.image([fileEntry(repository, 'etc/motd', 'x')]);
      await repository.commitMaster({ ...(master as NonNullable<typeof master>), manifest });
    }
    const small = {
      name: 'vda',
      bytes: 100 * MIB,
      sectorBytes: 512,
      transport: 'virtio',
      removable: false,
    } as const;
    const facts = {
      'a disk that is too small': factsOf(MAC_1, { disks: [small] }),
      'another architecture': factsOf(MAC_1, { arch: 'arm64' }),
    }[what];
    const machineId =
      what === 'a held machine'
        ? ((await world.netboot.answer(bootRequest(MAC_1))).machine?.id ?? '')
        : await acceptedMachine(world, MAC_1, facts);
    if (what === 'a machine that carries another server') {
      await control.createServer({ name: 'other', master: 'web' }, 'test');
      await ended(world, await control.assignServer('other', machineId, 'test'));
    }
    const master = what === 'a server without master or past' ? {} : { master: 'web' };
    await control.createServer({ name: 'web-1', ...master }, 'test');
    const assigning = control.assignServer('web-1', machineId, 'test');
    await expect(assigning).rejects.toMatchObject({ code });
    if (code === 'DISK_UNSUITABLE') await expect(assigning).rejects.toThrow(/vda 100 MiB/);
    expect((await control.getServer('web-1')).generation).toBe(0);
  });

  it('gives one machine to one of two servers that want it at once', async () => {
    await webMaster(world);
    const machineId = await acceptedMachine(world, MAC_1);
    const submitted: Operation[] = [];
    for (const name of ['a', 'b']) await world.control.createServer({ name, master: 'web' }, 'test');
    for (const server of ['a', 'b']) {
      submitted.push(
        await world.engine.submit({ kind: 'provision', server, machineId, requestedBy: 'test' }),
      );
    }
    const ends = await Promise.all(submitted.map((each) => ended(world, each)));
    expect(ends.map((end) => end.state).toSorted()).toEqual(['done', 'failed']);
    expect(ends.find((end) => end.state === 'failed')?.error?.code).toBe('CONFLICT');
    expect(installTasks(world)).toHaveLength(1);
  });

  it('brings a released server back as it was, not as its master is', async () => {
    const { machineId } = await runningServer(world);
    const kept = snapshotOf('web-1', world.clock.now(), bootableImage(world.repository, 'drifted'));
    await world.repository.commitSnapshot(kept);
    await world.control.releaseServer('web-1', 'test');
    await world.agents.powerOn(machineId);
    await ended(world, await world.control.assignServer('web-1', machineId, 'test'));
    expect(world.agents.diskOf(machineId)).toBe(kept.manifest.root);
    expect(installTasks(world).at(-1)?.fresh).toBe(false);
  });
});
