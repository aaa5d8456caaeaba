import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RestoreTask } from '../domain/protocol.ts';
import { OverdubError } from '../errors.ts';
import {
  acceptedMachine,
  bootableImage,
  bootRequest,
  ended,
  type Ground,
  installTasks,
  MAC_1,
  MAC_2,
  newGround,
  newWorld,
  runningServer,
  snapshotOf,
  taskNames,
  until,
  type World,
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
    expect(taskNames(world)).toEqual(['reboot-ramdisk', 'snapshot', 'restore', 'reboot-local']);
    expect(world.agents.diskOf(machineId)).toBe(good.manifest.root);
    const evidence = (await world.control.listSnapshots('web-1')).find((each) => each.reason === 'safety');
    expect(evidence).toMatchObject({ suspect: true, pinned: true, id: end.result?.safetySnapshot });
    expect((await world.control.resolveSnapshot('web-1', 'latest')).suspect).toBe(false);
    expect(await world.control.getServer('web-1')).toMatchObject({ state: 'running', generation: 1 });
    expect((await world.netboot.answer(bootRequest(MAC_1))).plan.kind).toBe('local');
  });

  it('gives up what came after: neither latest nor a move brings it back, its id does', async () => {
    const { good, bad } = await withSnapshots();
    const end = await ended(world, await world.control.rollback({ server: 'web-1', to: good.id }, 'ann'));
    expect(end.result?.givenUp).toEqual([bad.id]);
    const latest = () => world.control.resolveSnapshot('web-1', 'latest');
    expect(await latest()).toMatchObject({ id: good.id });
    expect(await world.control.resolveSnapshot('web-1', bad.id)).toMatchObject({ id: bad.id, suspect: true });
    const other = await acceptedMachine(world, MAC_2);
    const move = await world.control.move({ server: 'web-1', machine: other }, 'ann');
    expect((await ended(world, move)).state).toBe('done');
    expect(world.agents.diskOf(other)).toBe(good.manifest.root);
  });

  it('to evidence makes that what the server is: undone, a rollback is undone', async () => {
    const { good } = await withSnapshots();
    const back = await ended(world, await world.control.rollback({ server: 'web-1', to: good.id }, 'ann'));
    const evidence = String(back.result?.safetySnapshot);
    const forth = await ended(world, await world.control.rollback({ server: 'web-1', to: evidence }, 'ann'));
    expect(forth.state).toBe('done');
    expect(await world.control.resolveSnapshot('web-1', 'latest')).toMatchObject({
      id: evidence,
      suspect: false,
    });
  });

  it('of some paths alone gives nothing up; one that keeps some does', async () => {
    const { good, bad } = await withSnapshots();
    const latest = async () => (await world.control.resolveSnapshot('web-1', 'latest')).id;
    await ended(world, await world.control.rollback({ server: 'web-1', to: good.id, only: ['etc'] }, 'ann'));
    expect(await latest()).toBe(bad.id);
    await ended(world, await world.control.rollback({ server: 'web-1', to: good.id, keep: ['srv'] }, 'ann'));
    expect(await latest()).toBe(good.id);
  });

  it('renews the credential: the one of before is worth nothing', async () => {
    const { good } = await withSnapshots();
    const before = installTasks(world)[0]?.credential ?? '';
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
    expect(taskNames(world)).not.toContain('snapshot');
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
    expect(taskNames(world)).toEqual([]);
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
