import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Operation } from '../domain/operation.ts';
import { claim, unclaim } from './assignment.ts';
import { bootWish } from './boot-wish.ts';
import { acceptedMachine, type Ground, newGround, newWorld, type World } from './fixture.ts';

let ground: Ground;
let world: World;
let machineId: string;

beforeEach(async () => {
  ground = await newGround();
  world = await newWorld(ground);
  machineId = await acceptedMachine(world, '52:54:00:00:00:01');
  for (const name of ['a', 'b']) await world.control.createServer({ name }, 'test');
});
afterEach(async () => {
  await world.close();
  await ground.clear();
});

const wanted = (server: string, generation = 1) =>
  ({ machineId, server, generation, state: 'provisioning' }) as const;

describe('a claim', () => {
  it('of two at the very same time, is one server’s', async () => {
    const outcomes = await Promise.allSettled(['a', 'b'].map((name) => claim(world.services, wanted(name))));
    expect(outcomes.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    const { serverName } = await world.control.getMachine(machineId);
    expect((await world.control.getServer(serverName ?? '')).machineId).toBe(machineId);
    const other = serverName === 'a' ? 'b' : 'a';
    expect((await world.control.getServer(other)).machineId).toBeUndefined();
  });

  it('can be repeated without another generation', async () => {
    await claim(world.services, wanted('a'));
    await claim(world.services, wanted('a'));
    expect((await world.control.getServer('a')).generation).toBe(1);
  });

  it('of a machine whose server passed on is granted', async () => {
    await claim(world.services, wanted('a'));
    await world.services.servers.update('a', ({ machineId: _gone, ...server }) => ({
      ...server,
      generation: 2,
    }));
    await claim(world.services, wanted('b'));
    expect((await world.control.getMachine(machineId)).serverName).toBe('b');
  });

  it('taken back spends its generation, and takes nothing back twice', async () => {
    await claim(world.services, wanted('a'));
    await unclaim(world.services, { ...wanted('a'), state: 'failed' });
    expect(await world.control.getServer('a')).toMatchObject({ state: 'failed', generation: 1 });
    await claim(world.services, wanted('a', 2));
    await unclaim(world.services, { ...wanted('a', 1), state: 'failed' });
    expect(await world.control.getServer('a')).toMatchObject({
      state: 'provisioning',
      generation: 2,
      machineId,
    });
  });
});

describe('bootWish', () => {
  const operation = (over: Partial<Operation>): Operation => ({
    id: 'op-1',
    kind: 'rollback',
    state: 'running',
    requestedBy: '',
    parameters: {},
    memory: { bootMachine: 'm', boot: 'ramdisk' },
    steps: [],
    createdAt: '',
    ...over,
  });
  const error = { code: 'CONFLICT', message: '', remedy: '' };

  it.each([
    ['one that runs', operation({}), 'ramdisk'],
    ['one that waits for somebody', operation({ state: 'waiting' }), 'ramdisk'],
    ['one that is still queued', operation({ state: 'queued' }), undefined],
    ['one that failed and is being undone', operation({ error }), undefined],
    ['one for another machine', operation({ memory: { bootMachine: 'x', boot: 'ramdisk' } }), undefined],
  ])('of %s', (_what, open, wish) => {
    expect(bootWish([open], 'm')).toBe(wish);
  });
});
