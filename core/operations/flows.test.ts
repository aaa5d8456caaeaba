import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Operation } from '../domain/operation.ts';
import type { InstallTask, RestoreTask } from '../domain/protocol.ts';
import { OverdubError } from '../errors.ts';
import {
  acceptedMachine,
  bootableImage,
  bootRequest,
  ended,
  factsOf,
  fileEntry,
  type Ground,
  MIB,
  newGround,
  newWorld,
  runningServer,
  snapshotOf,
  until,
  type World,
  webMaster,
} from './fixture.ts';

const MAC_1 = '52:54:00:00:00:01';
const MAC_2 = '52:54:00:00:00:02';

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

const tasks = () =>
  world.agents.done.map((task) => (task.kind === 'reboot' ? `reboot-${task.to}` : task.kind));
const installs = () => world.agents.done.filter((task): task is InstallTask => task.kind === 'install');

describe('provision', () => {
  it('makes a server of a waiting machine', async () => {
    const { machineId, provisioned } = await runningServer(world);
    expect(tasks()).toEqual(['install', 'reboot-local']);
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
    expect(installs()[0]).toMatchObject({ fresh: true, server: { name: 'web-1', generation: 1 } });
  });

  it('gives the installed agent a credential that works, for this server and generation only', async () => {
    await runningServer(world);
    const hello = {
      protocol: 1,
      where: 'server',
      bootId: 'b',
      credential: installs()[0]?.credential ?? '',
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
    expect(installs()).toHaveLength(1);
  });

  it('brings a released server back as it was, not as its master is', async () => {
    const { machineId } = await runningServer(world);
    const kept = snapshotOf('web-1', world.clock.now(), bootableImage(world.repository, 'drifted'));
    await world.repository.commitSnapshot(kept);
    await world.control.releaseServer('web-1', 'test');
    await world.agents.powerOn(machineId);
    await ended(world, await world.control.assignServer('web-1', machineId, 'test'));
    expect(world.agents.diskOf(machineId)).toBe(kept.manifest.root);
    expect(installs().at(-1)?.fresh).toBe(false);
  });
});

describe('rollback', () => {
  async function withSnapshots() {
    const { machineId } = await runningServer(world);
    const make = async (text: string) => {
      await world.clock.advance(60_000);
      const taken = snapshotOf('web-1', world.clock.now(), bootableImage(world.repository, text));
      await world.repository.commitSnapshot(taken);
      return taken;
    };
    return { machineId, good: await make('good'), bad: await make('defaced') };
  }

  it('goes to the snapshot, keeps the evidence, boots again', async () => {
    const { machineId, good } = await withSnapshots();
    world.agents.done.length = 0;
    const end = await ended(world, await world.control.rollback({ server: 'web-1', to: good.id }, 'ann'));
    expect(end).toMatchObject({ state: 'done', result: { snapshot: good.id }, requestedBy: 'ann' });
    expect(tasks()).toEqual(['reboot-ramdisk', 'snapshot', 'restore', 'reboot-local']);
    expect(world.agents.diskOf(machineId)).toBe(good.manifest.root);
    const evidence = (await world.control.listSnapshots('web-1')).find((each) => each.reason === 'safety');
    expect(evidence).toMatchObject({ suspect: true, pinned: true, id: end.result?.safetySnapshot });
    expect((await world.control.resolveSnapshot('web-1', 'latest')).suspect).toBe(false);
    expect(await world.control.getServer('web-1')).toMatchObject({ state: 'running', generation: 1 });
    expect((await world.netboot.answer(bootRequest(MAC_1))).plan.kind).toBe('local');
  });

  it('renews the credential: the one of before is worth nothing', async () => {
    const { good } = await withSnapshots();
    const before = installs()[0]?.credential ?? '';
    await ended(world, await world.control.rollback({ server: 'web-1', to: good.id }, 'ann'));
    const restore = world.agents.done.find((task): task is RestoreTask => task.kind === 'restore');
    const admit = (credential: string) =>
      world.policy.admit({ protocol: 1, where: 'server', bootId: 'b', credential }, { ip: '' });
    await expect(admit(before)).rejects.toMatchObject({ code: 'UNAUTHORIZED' });
    expect((await admit(restore?.credential ?? '')).identity).toMatchObject({ server: 'web-1' });
  });

  it('takes no safety snapshot when that is refused', async () => {
    const { good } = await withSnapshots();
    await ended(
      world,
      await world.control.rollback({ server: 'web-1', to: good.id, safetySnapshot: false }, 'ann'),
    );
    expect(tasks()).not.toContain('snapshot');
  });

  it('passes on what to keep and what alone to touch', async () => {
    const { good } = await withSnapshots();
    const request = { server: 'web-1', to: good.id, keep: ['/var/lib/orders/'], only: ['etc'] };
    await ended(world, await world.control.rollback(request, 'ann'));
    expect(world.agents.done.find((task) => task.kind === 'restore')).toMatchObject({
      keep: ['var/lib/orders'],
      only: ['etc'],
    });
    await expect(
      world.control.rollback({ server: 'web-1', to: good.id, keep: ['../etc'] }, 'ann'),
    ).rejects.toMatchObject({ code: 'INPUT_INVALID' });
  });

  it('only looks in a dry run, and disturbs no machine that runs', async () => {
    const { machineId, good, bad } = await withSnapshots();
    world.agents.done.length = 0;
    const end = await ended(
      world,
      await world.control.rollback({ server: 'web-1', to: good.id, dryRun: true }, 'ann'),
    );
    expect(end.result).toMatchObject({
      dryRun: true,
      against: `snapshot ${bad.id}`,
      written: 1,
      changes: [{ path: 'etc/motd', action: 'write' }],
    });
    expect(tasks()).toEqual([]);
    expect((await world.control.getServer('web-1')).state).toBe('running');
    expect(world.agents.present({ machineId, where: 'server' })).toBeDefined();
  });

  it('leaves the server as it was when the safety snapshot fails', async () => {
    const { machineId, good } = await withSnapshots();
    world.agents.beforeTask = (task) => {
      if (task.kind === 'snapshot') throw new OverdubError('REPOSITORY_FULL', 'full', 'buy disks');
    };
    const end = await ended(world, await world.control.rollback({ server: 'web-1', to: good.id }, 'ann'));
    expect(end).toMatchObject({ state: 'failed', error: { code: 'REPOSITORY_FULL' } });
    expect((await world.control.getServer('web-1')).state).toBe('running');
    await until(world, () => world.agents.present({ machineId, where: 'server' }) !== undefined);
  });

  it('takes no server for sound whose restore broke off, and can be repeated', async () => {
    const { machineId, good } = await withSnapshots();
    world.agents.beforeTask = (task) => {
      if (task.kind === 'restore') throw new OverdubError('DISK_UNSUITABLE', 'bad sectors', 'replace it');
    };
    await ended(world, await world.control.rollback({ server: 'web-1', to: good.id }, 'ann'));
    expect((await world.control.getServer('web-1')).state).toBe('failed');
    expect((await world.netboot.answer(bootRequest(MAC_1))).plan.kind).toBe('ramdisk');
    world.agents.beforeTask = () => undefined;
    await world.agents.powerOn(machineId);
    expect(
      await ended(world, await world.control.rollback({ server: 'web-1', to: good.id }, 'ann')),
    ).toMatchObject({
      state: 'done',
    });
  });

  it('names the machine when its agent does not obey', async () => {
    const { machineId, good } = await withSnapshots();
    const { name } = await world.control.getMachine(machineId);
    world.agents.powerOff(machineId);
    const operation = await world.control.rollback({ server: 'web-1', to: good.id }, 'ann');
    await until(world, async () => (await world.engine.get(operation.id)).state === 'waiting');
    expect((await world.engine.get(operation.id)).attention).toContain(name);
    await world.agents.powerOn(machineId);
    expect((await ended(world, operation)).state).toBe('done');
  });

  it('keeps its target, however many snapshots its own safety snapshot pushes out', async () => {
    const { good } = await withSnapshots();
    await world.control.setServer(
      'web-1',
      { retention: { last: 1, hourly: 0, daily: 0, withinSeconds: 0 } },
      'ann',
    );
    expect(
      (await ended(world, await world.control.rollback({ server: 'web-1', to: good.id }, 'ann'))).state,
    ).toBe('done');
  });

  it('is refused for a server without a machine, and to a snapshot that is not there', async () => {
    const { control } = world;
    await control.createServer({ name: 'enrolled' }, 'test');
    await expect(control.rollback({ server: 'enrolled', to: 'latest' }, 'ann')).rejects.toMatchObject({
      code: 'CONFLICT',
      remedy: expect.stringContaining('overdub agent rollback'),
    });
    await withSnapshots();
    await expect(control.rollback({ server: 'web-1', to: 'nope' }, 'ann')).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
  });
});

describe('move', () => {
  async function readyToMove() {
    const { machineId: oldId } = await runningServer(world);
    const newId = await acceptedMachine(world, MAC_2);
    await world.clock.advance(60_000);
    const latest = snapshotOf('web-1', world.clock.now(), bootableImage(world.repository, 'latest'));
    await world.repository.commitSnapshot(latest);
    const suspect = { ...snapshotOf('web-1', world.clock.now() + 1000, latest.manifest), suspect: true };
    await world.repository.commitSnapshot(suspect);
    return { oldId, newId, latest };
  }

  it('brings a burnt server back on another machine, as its newest good snapshot has it', async () => {
    const { oldId, newId, latest } = await readyToMove();
    world.agents.powerOff(oldId);
    const end = await ended(world, await world.control.move({ server: 'web-1', machine: newId }, 'ann'));
    expect(end).toMatchObject({ state: 'done', result: { image: `web-1@${latest.id}` } });
    expect(world.agents.diskOf(newId)).toBe(latest.manifest.root);
    expect(await world.control.getServer('web-1')).toMatchObject({
      state: 'running',
      machineId: newId,
      generation: 2,
    });
    expect(await world.netboot.reservation(MAC_2)).toMatchObject({ address: '10.0.0.17' });
    expect(await world.netboot.reservation(MAC_1)).toBeUndefined();
  });

  it('holds the old machine when it is switched on again: one server never runs twice', async () => {
    const { oldId, newId } = await readyToMove();
    world.agents.powerOff(oldId);
    await ended(world, await world.control.move({ server: 'web-1', machine: newId }, 'ann'));
    const { plan, machine } = await world.netboot.answer(bootRequest(MAC_1));
    expect(plan.kind).toBe('ramdisk');
    expect(machine).toMatchObject({ admission: 'accepted', generation: 1 });
    const nonce = plan.kind === 'ramdisk' ? plan.nonce : '';
    const hello = { protocol: 1, where: 'ramdisk', bootId: 'again', nonce, facts: factsOf(MAC_1) } as const;
    const { identity, welcome } = await world.policy.admit(hello, { ip: '' });
    expect(welcome.standing).toBe('held');
    await world.clock.advance(0);
    expect(world.told.at(-1)).toMatchObject({
      type: 'machine.held',
      subject: { machine: oldId, server: 'web-1' },
    });
    expect((await world.control.getMachine(oldId)).admissionReason).toBe(
      'held: it carries assignment 1 of web-1, which is at 2 now',
    );
    const image = (await world.repository.listSnapshots('web-1'))[0]?.manifest;
    expect(await world.policy.mayRead(identity, image as NonNullable<typeof image>)).toBe(false);
  });

  it('sends a machine that still runs it away first', async () => {
    const { oldId, newId } = await readyToMove();
    world.agents.done.length = 0;
    await ended(world, await world.control.move({ server: 'web-1', machine: newId }, 'ann'));
    expect(tasks()).toEqual(['reboot-ramdisk', 'install', 'reboot-local']);
    expect(world.agents.present({ machineId: oldId, where: 'server' })).toBeUndefined();
  });

  it('installs nothing while the old machine still runs the server', async () => {
    const { newId } = await readyToMove();
    world.agents.beforeTask = (task) => {
      if (task.kind === 'reboot') throw new OverdubError('INTERNAL', 'no way', '');
    };
    const operation = await world.control.move({ server: 'web-1', machine: newId }, 'ann');
    await until(world, async () => (await world.engine.get(operation.id)).state === 'waiting');
    expect((await world.engine.get(operation.id)).attention).toMatch(/Switch off machine/);
    expect(installs()).toHaveLength(1);
  });

  it('can be cancelled until the claim; the server then goes on where it is', async () => {
    const { oldId, newId } = await readyToMove();
    world.agents.powerOff(newId);
    const operation = await world.control.move({ server: 'web-1', machine: newId }, 'ann');
    await until(world, async () => (await world.engine.get(operation.id)).state === 'waiting');
    await world.control.cancelOperation(operation.id, 'ann');
    expect(await world.control.getServer('web-1')).toMatchObject({
      state: 'running',
      machineId: oldId,
      generation: 1,
    });
  });

  it('is refused without a snapshot, onto the same machine, onto a held one', async () => {
    const { machineId } = await runningServer(world);
    const move = (machine: string) => world.control.move({ server: 'web-1', machine }, 'ann');
    await expect(move(machineId)).rejects.toMatchObject({ code: 'CONFLICT' });
    const held = (await world.netboot.answer(bootRequest(MAC_2))).machine?.id ?? '';
    await expect(move(held)).rejects.toThrow(/no snapshot/);
    await world.repository.commitSnapshot(snapshotOf('web-1', 1, bootableImage(world.repository, 'x')));
    await expect(move(held)).rejects.toMatchObject({ code: 'MACHINE_HELD' });
  });
});

describe('a snapshot on demand', () => {
  it('is taken by the server’s agent', async () => {
    await runningServer(world);
    const end = await ended(world, await world.control.takeSnapshot('web-1', 'ann'));
    const [taken] = await world.control.listSnapshots('web-1');
    expect(end).toMatchObject({ state: 'done', result: { snapshot: taken?.id, consistency: 'crash' } });
    await world.clock.advance(0);
    expect(world.told.map((event) => event.type)).toContain('snapshot.committed');
  });

  it('is refused at once when no agent is there', async () => {
    await world.control.createServer({ name: 'enrolled' }, 'test');
    await expect(world.control.takeSnapshot('enrolled', 'ann')).rejects.toMatchObject({ code: 'AGENT_LOST' });
  });

  it('commits nothing when the agent vanishes in the middle', async () => {
    await runningServer(world);
    world.agents.beforeTask = () => {
      throw new OverdubError('AGENT_LOST', 'gone', '');
    };
    const end = await ended(world, await world.control.takeSnapshot('web-1', 'ann'));
    expect(end).toMatchObject({ state: 'failed', error: { code: 'AGENT_LOST' } });
    expect(await world.control.listSnapshots('web-1')).toEqual([]);
  });
});
