import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { OverdubError } from '../errors.ts';
import {
  acceptedMachine,
  bootableImage,
  bootRequest,
  ended,
  factsOf,
  type Ground,
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
    expect(taskNames(world)).toEqual(['reboot-ramdisk', 'install', 'reboot-local']);
    expect(world.agents.present({ machineId: oldId, where: 'server' })).toBeUndefined();
  });

  it('starts nothing while the old machine still runs the server', async () => {
    const { newId } = await readyToMove();
    world.agents.beforeTask = (task) => {
      if (task.kind === 'reboot') throw new OverdubError('INTERNAL', 'no way', '');
    };
    const operation = await world.control.move({ server: 'web-1', machine: newId }, 'ann');
    await until(world, async () => (await world.engine.get(operation.id)).state === 'waiting');
    expect((await world.engine.get(operation.id)).attention).toMatch(/Switch off machine/);
    expect(taskNames(world).at(-1)).toBe('install');
    expect((await world.engine.get(operation.id)).steps.find(({ state }) => state === 'running')?.name).toBe(
      'await-retired',
    );
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
