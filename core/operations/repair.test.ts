import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { MendReport } from '../contracts/repository.ts';
import { OverdubError } from '../errors.ts';
import { ended, type Ground, newGround, newWorld, runningServer, snapshotOf, type World } from './fixture.ts';
import { isWanted } from './repair-wishes.ts';

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

const whole: MendReport = {
  salvagedPacks: 0,
  damagedChunks: 0,
  damagedImages: [],
  damagedRecords: [],
  places: [],
  placesTotal: 0,
};

function lacking(...images: string[]): MendReport {
  const places = images.map((image) => ({ image, path: 'var/db', what: 'file' as const }));
  return { ...whole, damagedChunks: 2, damagedImages: images, places, placesTotal: images.length };
}

/** The repository lacks what `found` says until an agent has offered everything it has. */
function damage(found: MendReport, afterwards: MendReport = whole): void {
  world.repository.mend = async () =>
    world.agents.done.some((task) => task.kind === 'snapshot' && task.everything === true)
      ? afterwards
      : found;
}

const repaired = async () => ended(world, await world.control.repairRepository({}, 'ann'));

describe('a repair', () => {
  it('asks nobody when nothing is damaged', async () => {
    await runningServer(world);
    const before = world.agents.done.length;
    expect(await repaired()).toMatchObject({
      state: 'done',
      result: { sound: true, repairedChunks: 0, asked: [] },
    });
    expect(world.agents.done.length).toBe(before);
  });

  it('has the server whose newest snapshot lacks something offer everything', async () => {
    await runningServer(world);
    await ended(world, await world.control.takeSnapshot('web-1', 'ann'));
    const [taken] = await world.control.listSnapshots('web-1');
    damage(lacking(`web-1@${taken?.id}`));
    const end = await repaired();
    expect(end).toMatchObject({
      kind: 'repair',
      state: 'done',
      result: { sound: true, repairedChunks: 2, asked: [{ server: 'web-1', outcome: 'sent' }] },
    });
    expect(world.agents.done.at(-1)).toMatchObject({ kind: 'snapshot', everything: true, reason: 'manual' });
    const [asked] = await world.control.listOperations({ server: 'web-1', limit: 1 });
    expect(asked).toMatchObject({ kind: 'snapshot', state: 'done', requestedBy: `repair ${end.id}` });
    expect(await isWanted(world.catalogue, 'web-1')).toBe(false);
  });

  it('asks a server that has its damaged master only, and lists what is left', async () => {
    await runningServer(world);
    damage(lacking('web@1'), { ...lacking('web@1'), damagedChunks: 1 });
    const { result } = await repaired();
    expect(result).toMatchObject({
      sound: false,
      repairedChunks: 1,
      asked: [{ server: 'web-1', outcome: 'sent' }],
    });
    expect(result?.places).toMatchObject([{ image: 'web@1', path: 'var/db' }]);
  });

  it('leaves those in peace that cannot have what is lacking', async () => {
    await runningServer(world);
    await ended(world, await world.control.takeSnapshot('web-1', 'ann'));
    damage(lacking('other@1', 'web@1'));
    expect(await repaired()).toMatchObject({ result: { sound: false, asked: [] } });
  });

  it('says that a machine is away, and has it offer everything when its agent comes', async () => {
    await world.control.createServer({ name: 'box' }, 'ann');
    const image = world.repository.image([]);
    const old = snapshotOf('box', world.clock.now(), image);
    await world.repository.commitSnapshot(old);
    damage(lacking(`box@${old.id}`));
    expect(await repaired()).toMatchObject({
      result: { sound: false, asked: [{ server: 'box', outcome: 'absent' }] },
    });
    const identity = { server: 'box', standing: 'assigned', by: 'agent of box' } as const;
    const task = await world.policy.beginSnapshot(identity, { server: 'box', reason: 'schedule' });
    expect(task).toMatchObject({ everything: true });
    await world.policy.endSnapshot(task, { snapshot: snapshotOf('box', world.clock.now() + 1, image) });
    const next = await world.policy.beginSnapshot(identity, { server: 'box', reason: 'schedule' });
    expect(next.everything).toBeUndefined();
  });

  it('goes on when one machine fails', async () => {
    await runningServer(world);
    await ended(world, await world.control.takeSnapshot('web-1', 'ann'));
    const [taken] = await world.control.listSnapshots('web-1');
    damage(lacking(`web-1@${taken?.id}`));
    world.agents.beforeTask = () => {
      throw new OverdubError('AGENT_LOST', 'it went away', '');
    };
    const end = await repaired();
    expect(end).toMatchObject({
      state: 'done',
      result: { sound: false, asked: [{ server: 'web-1', outcome: 'failed', why: 'it went away' }] },
    });
    expect(await isWanted(world.catalogue, 'web-1')).toBe(true);
  });

  it('reads everything first when asked to', async () => {
    damage(whole);
    const read: unknown[] = [];
    const verify = world.repository.verify.bind(world.repository);
    world.repository.verify = async (options?: { readData?: boolean }) => {
      read.push(options?.readData);
      return verify();
    };
    await ended(world, await world.control.repairRepository({ readData: true }, 'ann'));
    await repaired();
    expect(read).toEqual([true, false]);
  });
});
