import { afterEach, beforeEach, expect, it } from 'vitest';
import { type Ground, newGround, newWorld, runningServer, type World } from './fixture.ts';
import { ramdiskBoot } from './ramdisk-boot.ts';

let ground: Ground;
let world: World;
let machineId: string;

beforeEach(async () => {
  ground = await newGround();
  world = await newWorld(ground);
  machineId = (await runningServer(world)).machineId;
});
afterEach(async () => {
  await world.close();
  await ground.clear();
});

async function change(more: Partial<Awaited<ReturnType<World['control']['getMachine']>>>): Promise<void> {
  await world.catalogue.machines.update(machineId, (machine) => ({ ...machine, ...more }));
}

it('names the artifacts, and brings a nonce for this machine', async () => {
  const boot = await ramdiskBoot(world.services, machineId);
  expect(boot).toMatchObject({ kernel: 'ramdisk/x86_64/vmlinuz', initrd: 'ramdisk/x86_64/initrd' });
  const { nonces } = world.catalogue;
  expect(await nonces.exchange(boot?.nonce ?? '', 'boot-1', world.clock.now())).toBe(machineId);
});

it('leaves a machine to its firmware that is labelled so', async () => {
  await change({ labels: { kexec: 'off' } });
  expect(await ramdiskBoot(world.services, machineId)).toBeUndefined();
});

it('leaves a machine to its firmware that no ramdisk runs on, or that nothing is known of', async () => {
  const { facts } = await world.control.getMachine(machineId);
  if (facts === undefined) throw new Error('a running server’s machine has facts');
  await change({ facts: { ...facts, arch: 'arm64' } });
  expect(await ramdiskBoot(world.services, machineId)).toBeUndefined();
  expect(await ramdiskBoot(world.services, 'forgotten')).toBeUndefined();
});
