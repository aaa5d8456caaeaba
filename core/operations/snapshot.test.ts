import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { OverdubError } from '../errors.ts';
import { ended, type Ground, newGround, newWorld, runningServer, type World } from './fixture.ts';

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
