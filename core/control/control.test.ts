import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Event } from '../domain/event.ts';
import {
  acceptedMachine,
  bootRequest,
  ended,
  fileEntry,
  type Ground,
  newGround,
  newWorld,
  runningServer,
  snapshotOf,
  type World,
  webMaster,
} from '../operations/fixture.ts';
import { startWatcher } from '../scheduler/watcher.ts';
import { collect } from '../testing/collect.ts';
import { firstToken } from './tokens.ts';

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

describe('collection', () => {
  it('is an operation with a report, and one at a time', async () => {
    const first = await world.control.collectGarbage({ dryRun: true }, 'ann');
    const second = await world.control.collectGarbage({}, 'ann');
    expect(first).toMatchObject({ kind: 'gc', parameters: { dryRun: true }, requestedBy: 'ann' });
    expect(world.engine.open().filter(({ state }) => state === 'running').length).toBeLessThan(2);
    expect(await ended(world, first)).toMatchObject({ state: 'done', result: { dryRun: true } });
    expect(await ended(world, second)).toMatchObject({
      state: 'done',
      result: { dryRun: false, freedBytes: 0 },
    });
  });
});

describe('optimising', () => {
  it('is an operation with a report, never beside a collection', async () => {
    const collection = await world.control.collectGarbage({}, 'ann');
    const optimising = await world.control.optimise('ann');
    expect(optimising).toMatchObject({ kind: 'optimise', state: 'queued', requestedBy: 'ann' });
    expect(await ended(world, collection)).toMatchObject({ state: 'done' });
    expect(await ended(world, optimising)).toMatchObject({ state: 'done', result: { packs: 0 } });
  });
});

describe('tokens', () => {
  it('begin with an admin’s, once', async () => {
    const secret = (await firstToken(world.catalogue, world.clock)) ?? '';
    expect(await world.control.authenticate(secret)).toMatchObject({ role: 'admin' });
    expect(await firstToken(world.catalogue, world.clock)).toBeUndefined();
  });

  it('carry their role, and are worth nothing once revoked', async () => {
    await firstToken(world.catalogue, world.clock);
    for (const role of ['viewer', 'operator', 'admin'] as const) {
      const { secret, id } = await world.control.createToken({ name: role, role }, 'ann');
      expect(await world.control.authenticate(secret)).toMatchObject({ name: role, role });
      await world.control.revokeToken(id, 'ann');
      expect(await world.control.authenticate(secret)).toBeUndefined();
    }
    expect(await world.control.authenticate('')).toBeUndefined();
  });

  it('are never listed with their secret', async () => {
    const { secret } = await world.control.createToken({ name: 'a', role: 'viewer' }, 'ann');
    expect(JSON.stringify(await world.control.listTokens())).not.toContain(secret);
  });

  it('keep one admin at least', async () => {
    await firstToken(world.catalogue, world.clock);
    const [admin] = await world.control.listTokens();
    await expect(world.control.revokeToken(admin?.id ?? '', 'ann')).rejects.toMatchObject({
      code: 'CONFLICT',
    });
    await expect(world.control.revokeToken('none', 'ann')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('refuse a role that does not exist, a limit on other roles, an unknown server', async () => {
    const create = (request: object) => world.control.createToken(request as never, 'ann');
    await world.control.createServer({ name: 'box' }, 'ann');
    await expect(create({ name: 'a', role: 'root' })).rejects.toMatchObject({ code: 'INPUT_INVALID' });
    await expect(create({ name: '', role: 'admin' })).rejects.toMatchObject({ code: 'INPUT_INVALID' });
    await expect(create({ name: 'a', role: 'admin', server: 'box' })).rejects.toMatchObject({
      code: 'INPUT_INVALID',
    });
    await expect(create({ name: 'a', role: 'operator', server: 'no' })).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
  });
});

describe('servers', () => {
  it('get an identity of their own, also from one master', async () => {
    await webMaster(world);
    const [a, b] = await Promise.all(
      ['a', 'b'].map((name) => world.control.createServer({ name, master: 'web' }, 'ann')),
    );
    expect(a).toMatchObject({ state: 'unassigned', master: { name: 'web', version: 1 }, generation: 0 });
    expect(a?.identity).toMatchObject({ hostname: 'a', machineId: expect.stringMatching(/^[0-9a-f]{32}$/) });
    expect(a?.identity.espId).toMatch(/^[0-9A-F]{8}$/);
    expect(a?.identity.machineId).not.toBe(b?.identity.machineId);
    expect(a?.identity.rootUuid).not.toBe(b?.identity.rootUuid);
  });

  it.each([
    [{ name: 'Web' }, 'INPUT_INVALID'],
    [{ name: 'a.b' }, 'INPUT_INVALID'],
    [{ name: 'a', master: 'none' }, 'NOT_FOUND'],
    [{ name: 'a', master: 'no such!' }, 'INPUT_INVALID'],
    [{ name: 'a', address: '10.0.0.300' }, 'INPUT_INVALID'],
    [{ name: 'a', address: '10.0.0.1' }, 'CONFLICT'],
    [{ name: 'a', schedule: { everySeconds: 0, jitterSeconds: 0 } }, 'INPUT_INVALID'],
    [{ name: 'a', retention: { last: -1 } }, 'INPUT_INVALID'],
    [{ name: 'a', retention: { weekly: 1 } }, 'INPUT_INVALID'],
    [{ name: 'a', excludes: ['../etc'] }, 'INPUT_INVALID'],
    [{ name: 'a', bandwidth: 10 }, 'INPUT_INVALID'],
    [{ name: 'a', bandwidth: 1e6 + 0.5 }, 'INPUT_INVALID'],
    [{ name: 'a', compression: 'best' }, 'INPUT_INVALID'],
    [{ name: 'taken' }, 'CONFLICT'],
  ])('are refused as %j', async (request, code) => {
    await world.control.createServer({ name: 'taken', address: '10.0.0.1' }, 'ann');
    await expect(world.control.createServer(request as never, 'ann')).rejects.toMatchObject({ code });
    expect(await world.control.listServers()).toHaveLength(1);
  });

  it('are mirrored in the repository, as they are now', async () => {
    await world.control.createServer({ name: 'a' }, 'ann');
    await world.control.setServer('a', { excludes: ['var/cache/**'] }, 'ann');
    expect(await world.repository.getRecord('servers', 'a')).toMatchObject({ excludes: ['var/cache/**'] });
    await world.control.removeServer('a', 'ann');
    expect(await world.repository.getRecord('servers', 'a')).toBeUndefined();
  });

  it('change what is named and keep the rest', async () => {
    const schedule = { everySeconds: 60, jitterSeconds: 0 };
    await world.control.createServer({ name: 'a', schedule }, 'ann');
    await world.control.setServer('a', { retention: { last: 3 } }, 'ann');
    expect(await world.control.getServer('a')).toMatchObject({
      schedule,
      retention: { last: 3, hourly: 24 },
    });
    expect(world.agents.recalled).toEqual([{ server: 'a', where: 'server' }]);
    await world.control.setServer('a', { clearSchedule: true, bandwidth: 5_000_000 }, 'ann');
    await world.control.setServer('a', { compression: 'fast' }, 'ann');
    expect((await world.control.getServer('a')).schedule).toBeUndefined();
    await world.control.setServer('a', { excludes: [] }, 'ann');
    expect(await world.control.getServer('a')).toMatchObject({
      bandwidth: 5_000_000,
      compression: 'fast',
    });
    await world.control.setServer('a', { clearBandwidth: true }, 'ann');
    expect((await world.control.getServer('a')).bandwidth).toBeUndefined();
  });

  it('stay while they run, are worked on, or have pinned evidence', async () => {
    const { machineId } = await runningServer(world);
    await expect(world.control.removeServer('web-1', 'ann')).rejects.toMatchObject({ code: 'CONFLICT' });
    await expect(world.control.forgetMachine(machineId, 'ann')).rejects.toMatchObject({ code: 'CONFLICT' });
    await expect(world.control.rejectMachine(machineId, 'ann')).rejects.toMatchObject({ code: 'CONFLICT' });
    await world.control.releaseServer('web-1', 'ann');
    const manifest = world.repository.image([]);
    await world.repository.commitSnapshot({ ...snapshotOf('web-1', 1, manifest), pinned: true });
    await expect(world.control.removeServer('web-1', 'ann')).rejects.toThrow(/pinned/);
    const [pinned] = await world.control.listSnapshots('web-1');
    const id = pinned?.id ?? '';
    await expect(world.control.removeSnapshot('web-1', id, 'ann')).rejects.toMatchObject({
      code: 'CONFLICT',
    });
    await world.control.pinSnapshot('web-1', id, false, 'ann');
    await world.control.removeServer('web-1', 'ann');
    expect(await world.repository.listSnapshots('web-1')).toEqual([]);
    await world.control.forgetMachine(machineId, 'ann');
  });
});

describe('machines', () => {
  it('are found by id, name and MAC, renamed, labelled, forgotten', async () => {
    const { machine } = await world.netboot.answer(bootRequest('52:54:00:00:00:01'));
    const id = machine?.id ?? '';
    await world.control.renameMachine(id, 'rack1-a', 'ann');
    await world.control.labelMachine('rack1-a', { rack: '1', slot: '2' }, 'ann');
    await world.control.labelMachine('52-54-00-00-00-01', { slot: null }, 'ann');
    expect(await world.control.getMachine('rack1-a')).toMatchObject({ id, labels: { rack: '1' } });
    const bad = world.control.labelMachine(id, { 'a b': 'x' }, 'ann');
    await expect(bad).rejects.toMatchObject({ code: 'INPUT_INVALID' });
    await expect(world.control.renameMachine(id, 'a b', 'ann')).rejects.toMatchObject({
      code: 'INPUT_INVALID',
    });
    await world.control.forgetMachine(id, 'ann');
    await expect(world.control.getMachine(id)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});

describe('looking into images', () => {
  async function twoSnapshots() {
    const { repository, control } = world;
    await control.createServer({ name: 'web-1' }, 'ann');
    const file = (path: string, text: string) => fileEntry(repository, path, text);
    const directory = { path: 'etc', type: 'directory', mode: 0o755, uid: 0, gid: 0, mtimeNs: '1' } as const;
    const before = repository.image([
      directory,
      file('etc/a-removed', 'x'),
      file('etc/b-changed', 'old'),
      file('etc/c-same', 'same'),
      file('etc/d-mode', 'm'),
      file('etc/e-type', 't'),
    ]);
    const after = repository.image([
      { ...directory, mtimeNs: '2' },
      file('etc/b-changed', 'new'),
      file('etc/c-same', 'same'),
      { ...file('etc/d-mode', 'm'), mode: 0o600 },
      { ...directory, path: 'etc/e-type' },
      file('etc/f-added', 'y'),
    ]);
    await repository.commitSnapshot({ ...snapshotOf('web-1', world.clock.now(), before), id: 's1' });
    await world.clock.advance(60_000);
    await repository.commitSnapshot({ ...snapshotOf('web-1', world.clock.now(), after), id: 's2' });
  }

  it('lists what differs, in order, and no directory whose time alone changed', async () => {
    await twoSnapshots();
    const changes = await collect(world.control.diff('web-1@s1', 'web-1@s2'));
    expect(changes.map(({ path, change }) => `${path} ${change}`)).toEqual([
      'etc/a-removed removed',
      'etc/b-changed content',
      'etc/d-mode metadata',
      'etc/e-type type',
      'etc/f-added added',
    ]);
    expect(await collect(world.control.diff('web-1@s2', 'web-1@latest'))).toEqual([]);
  });

  it('tells in which snapshots a file changed', async () => {
    await twoSnapshots();
    const log = async (path: string) =>
      (await collect(world.control.log('web-1', path))).map(
        ({ snapshot, change }) => `${snapshot.id} ${change}`,
      );
    expect(await log('/etc/b-changed')).toEqual(['s1 added', 's2 content']);
    expect(await log('etc/a-removed')).toEqual(['s1 added', 's2 removed']);
    expect(await log('etc/c-same')).toEqual(['s1 added']);
    expect(await log('etc/none')).toEqual([]);
  });

  it('reads one file, lists a folder, and says what is no file', async () => {
    await twoSnapshots();
    const { content } = await world.control.readFile('web-1@~1', '/etc/b-changed');
    expect(Buffer.concat(await collect(content)).toString()).toBe('old');
    const listed = await collect(world.control.listFiles('web-1', '/etc'));
    expect(listed.map(({ path }) => path)).toContain('etc/f-added');
    await expect(world.control.readFile('web-1', 'etc')).rejects.toMatchObject({ code: 'INPUT_INVALID' });
    await expect(world.control.readFile('web-1', 'etc/none')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(world.control.readFile('web-1', '../x')).rejects.toMatchObject({ code: 'INPUT_INVALID' });
    await expect(world.control.resolveImage('nope@1')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(world.control.resolveImage('web-1@12:45')).rejects.toMatchObject({ code: 'INPUT_INVALID' });
  });
});

describe('events', () => {
  it('reach whoever listens from then on, until it stops', async () => {
    await world.netboot.answer(bootRequest('52:54:00:00:00:01'));
    const stop = new AbortController();
    const events = world.control.events(stop.signal);
    await world.control.acceptMachine('52:54:00:00:00:01', 'ann');
    const seen: Event[] = [];
    for await (const event of events) {
      seen.push(event);
      stop.abort();
    }
    expect(seen.map(({ type, text }) => [type, text])).toEqual([
      ['machine.accepted', 'machine-000001 was accepted by ann'],
    ]);
  });
});

describe('the watcher', () => {
  const watch = (space?: { freeBytes: number; totalBytes: number }) =>
    startWatcher({ ...world.services, engine: world.engine, space: async () => space });

  it('tells of an overdue snapshot once, and again after the next one', async () => {
    const schedule = { everySeconds: 60, jitterSeconds: 0 };
    await world.control.createServer({ name: 'box', schedule }, 'ann');
    const watcher = watch();
    const overdue = () => world.told.filter(({ type }) => type === 'snapshot.overdue').length;
    await world.clock.advance(120_000);
    expect(overdue()).toBe(0);
    await world.clock.advance(600_000);
    expect(overdue()).toBe(1);
    await world.repository.commitSnapshot(snapshotOf('box', world.clock.now(), world.repository.image([])));
    await world.clock.advance(600_000);
    expect(overdue()).toBe(2);
    await watcher.stop();
  });

  it('tells once that space runs low', async () => {
    const watcher = watch({ freeBytes: 5, totalBytes: 100 });
    await world.clock.advance(300_000);
    await watcher.stop();
    const low = world.told.filter(({ type }) => type === 'repository.low-space');
    expect(low.map(({ text }) => text)).toEqual(['the repository has 5 % of its space left']);
  });

  it('prunes daily, as an operation, also servers that take no snapshots any more', async () => {
    const retention = { last: 1, hourly: 0, daily: 0, withinSeconds: 86_400 };
    await world.control.createServer({ name: 'box', retention }, 'ann');
    const empty = world.repository.image([]);
    for (const age of [1000, 2000]) {
      await world.repository.commitSnapshot(snapshotOf('box', world.clock.now() - age, empty));
    }
    const watcher = watch();
    await world.clock.advance(1000);
    expect(await world.control.listSnapshots('box')).toHaveLength(2);
    await world.clock.advance(86_400_000 + 120_000);
    await watcher.stop();
    await world.clock.advance(1000);
    expect(await world.control.listSnapshots('box')).toHaveLength(1);
    expect(await world.control.listOperations({ server: 'box' })).toMatchObject([
      { kind: 'prune', state: 'done', requestedBy: 'schedule' },
    ]);
  });

  it('collects daily, behind the pruning, and never twice at a time', async () => {
    const watcher = watch();
    await world.clock.advance(3 * 86_400_000 + 300_000);
    await watcher.stop();
    await world.clock.advance(1000);
    const operations = await world.control.listOperations();
    expect(operations.map(({ kind, state, requestedBy }) => [kind, state, requestedBy])).toEqual(
      Array.from({ length: 3 }, () => ['gc', 'done', 'schedule']),
    );
  });
});

it('info says what runs', async () => {
  await acceptedMachine(world, '52:54:00:00:00:01');
  expect(await world.control.info()).toMatchObject({ version: '0.0.0', repository: { chunks: 0 } });
});

describe('a verification', () => {
  it('is an operation whose result says what was found; damage is told of as an event', async () => {
    const { repository } = world;
    const verify = repository.verify.bind(repository);
    expect(await ended(world, await world.control.verifyRepository({}, 'ann'))).toMatchObject({
      kind: 'verify',
      state: 'done',
      parameters: { readData: false },
      result: { sound: true },
    });
    repository.verify = async () => ({ ...(await verify()), sound: false, placesTotal: 3 });
    const found = await ended(world, await world.control.verifyRepository({ samplePercent: 5 }, 'ann'));
    expect(found).toMatchObject({ state: 'done', result: { sound: false, placesTotal: 3 } });
    expect(found.parameters).toEqual({ readData: true, samplePercent: 5 });
    expect(world.told.filter(({ type }) => type === 'repository.damaged')).toMatchObject([
      { text: expect.stringContaining('3 files'), subject: { operation: found.id } },
    ]);
  });

  it.each([0, -1, 101, Number.NaN])('of %s percent is refused', async (samplePercent) => {
    const refused = world.control.verifyRepository({ samplePercent }, 'ann');
    await expect(refused).rejects.toMatchObject({ code: 'INPUT_INVALID' });
  });
});
