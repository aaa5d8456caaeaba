import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ControllerFacts, Machine } from '../domain/machine.ts';
import type { Server, ServerState } from '../domain/server.ts';
import {
  acceptedMachine,
  bootRequest,
  factsOf,
  type Ground,
  newGround,
  newWorld,
  type World,
} from '../operations/fixture.ts';
import { parseRange } from './artifact-route.ts';
import { proposePlan } from './plan.ts';

const MAC_1 = '52:54:00:00:00:01';
const MAC_2 = '52:54:00:00:00:02';
const UUID = '11111111-2222-3333-4444-555555555555';

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

const seen = async (mac: string, uuid?: string) => {
  const { machine } = await world.netboot.answer(bootRequest(mac, uuid));
  if (machine === undefined) throw new Error('not recorded');
  return machine;
};

describe('the boot plan', () => {
  const machine = (over: Partial<Machine>): Machine => ({
    id: 'm',
    name: 'm',
    macs: [],
    admission: 'accepted',
    labels: {},
    firstSeenAt: '',
    lastSeenAt: '',
    ...over,
  });
  const server = (state: ServerState, generation = 1, machineId = 'm') =>
    ({ name: 's', state, generation, machineId }) as Server;
  const assigned = { serverName: 's', generation: 1 };

  it.each([
    ['a rejected machine', machine({ admission: 'rejected' }), undefined, undefined, 'silent'],
    [
      'a rejected machine, whatever is open',
      machine({ admission: 'rejected' }),
      undefined,
      'ramdisk',
      'silent',
    ],
    ['a held machine', machine({ admission: 'held' }), undefined, undefined, 'ramdisk'],
    ['a free machine', machine({}), undefined, undefined, 'ramdisk'],
    ['a machine whose server runs', machine(assigned), server('running'), undefined, 'local'],
    [
      'a machine that an operation wants in the ramdisk',
      machine(assigned),
      server('running'),
      'ramdisk',
      'ramdisk',
    ],
    ['a machine that was just installed', machine(assigned), server('provisioning'), 'local', 'local'],
    [
      'an installed machine without its operation',
      machine(assigned),
      server('provisioning'),
      undefined,
      'ramdisk',
    ],
    [
      'a machine of an older generation',
      machine(assigned),
      server('running', 2, 'other'),
      undefined,
      'ramdisk',
    ],
    [
      'an older generation on the same machine',
      machine(assigned),
      server('running', 2),
      undefined,
      'ramdisk',
    ],
    [
      'a server that another machine has',
      machine(assigned),
      server('running', 1, 'other'),
      undefined,
      'ramdisk',
    ],
    ['a half-restored server', machine(assigned), server('failed'), undefined, 'ramdisk'],
    ['a server that is gone', machine(assigned), undefined, undefined, 'ramdisk'],
  ] as const)('of %s', (_what, theMachine, theServer, wish, plan) => {
    expect(proposePlan({ machine: theMachine, server: theServer, wish })).toBe(plan);
  });

  it('can be overruled by a plugin, but a rejection cannot', async () => {
    world.hooks.tapsFor('boot-test').boot.plan.tap(() => 'local');
    const machine = await seen(MAC_1);
    expect((await world.netboot.answer(bootRequest(MAC_1))).plan.kind).toBe('local');
    await world.control.rejectMachine(machine.id, 'ann');
    expect((await world.netboot.answer(bootRequest(MAC_1))).plan.kind).toBe('silent');
  });
});

describe('a sighting', () => {
  it('records a machine once, held, with a name', async () => {
    const first = await seen('52:54:00:AB:CD:EF'.replaceAll(':', '-'));
    const second = await seen('52:54:00:ab:cd:ef');
    expect(first).toMatchObject({ name: 'machine-abcdef', macs: ['52:54:00:ab:cd:ef'], admission: 'held' });
    expect(second.id).toBe(first.id);
    await world.clock.advance(0);
    expect(world.told.map(({ type }) => type)).toEqual(['machine.seen', 'machine.held']);
  });

  it('records a machine once also when it asks twice at once', async () => {
    const [a, b] = await Promise.all([seen(MAC_1), seen(MAC_1)]);
    expect(a.id).toBe(b.id);
    expect(await world.control.listMachines()).toHaveLength(1);
  });

  it('holds the second of two machines that claim one UUID, and merges neither', async () => {
    const first = await seen(MAC_1, UUID);
    await world.control.acceptMachine(first.id, 'ann');
    const second = await seen(MAC_2, UUID);
    expect(second.id).not.toBe(first.id);
    expect(second).toMatchObject({ admission: 'held', macs: [MAC_2] });
    expect(second.admissionReason).toContain(first.name);
    expect((await seen(MAC_1, UUID)).macs).toEqual([MAC_1]);
  });

  it('tells admission who else claims the UUID', async () => {
    const sharers: (string | undefined)[] = [];
    world.hooks.tapsFor('t').discovery.admit.tap(({ sharer }) => {
      sharers.push(sharer?.id);
      return undefined;
    });
    const first = await seen(MAC_1, UUID);
    const second = await seen(MAC_2);
    expect(sharers).toEqual([undefined, undefined]);
    await world.catalogue.machines.update(second.id, (machine) => ({ ...machine, uuid: UUID }));
    await seen(MAC_2);
    expect(sharers.at(-1)).toBe(first.id);
  });

  it('lets no rule accept such a machine, only a person', async () => {
    world.hooks
      .tapsFor('discovery-test')
      .discovery.admit.tap(() => ({ admission: 'accepted', reason: 'everybody is welcome' }));
    expect((await seen(MAC_1, UUID)).admission).toBe('accepted');
    const second = await seen(MAC_2, UUID);
    expect(second.admission).toBe('held');
    expect((await seen(MAC_2, UUID)).admission).toBe('held');
    await world.control.acceptMachine(second.id, 'ann');
    expect((await seen(MAC_2, UUID)).admission).toBe('accepted');
  });

  it.each(['00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff', 'garbage'])(
    'takes %s for no UUID at all',
    async (uuid) => {
      await seen(MAC_1, uuid);
      const second = await seen(MAC_2, uuid);
      expect(second.uuid).toBeUndefined();
      expect(second.admissionReason).toBe('seen for the first time');
    },
  );

  it('knows a machine by any of the interfaces its agent reported', async () => {
    const facts = factsOf(MAC_1, {
      nics: [
        { name: 'a', mac: MAC_1 },
        { name: 'b', mac: MAC_2 },
      ],
    });
    const id = await acceptedMachine(world, MAC_1, facts);
    expect((await seen(MAC_2)).id).toBe(id);
    expect((await world.control.getMachine(MAC_2)).macs).toEqual([MAC_1, MAC_2]);
  });

  it('asks admission while nobody decided, and never takes back what was accepted', async () => {
    let answer: 'accepted' | 'rejected' | undefined;
    const decide = () => (answer === undefined ? undefined : { admission: answer, reason: 'rule' });
    world.hooks.tapsFor('discovery-test').discovery.admit.tap(decide);
    expect((await seen(MAC_1)).admission).toBe('held');
    answer = 'rejected';
    expect((await seen(MAC_1)).admission).toBe('rejected');
    answer = 'accepted';
    expect((await seen(MAC_1)).admission).toBe('accepted');
    answer = 'rejected';
    expect((await seen(MAC_1)).admission).toBe('accepted');
  });

  it('keeps a decision made by hand', async () => {
    const { id } = await seen(MAC_1);
    await world.control.rejectMachine(id, 'ann');
    world.hooks
      .tapsFor('discovery-test')
      .discovery.admit.tap(() => ({ admission: 'accepted', reason: 'rule' }));
    expect(await seen(MAC_1)).toMatchObject({ admission: 'rejected', admissionReason: 'rejected by ann' });
  });

  it('sets labels of rules whatever its admission, notes where it was seen, and leaves labels by hand', async () => {
    let rack = '1';
    const asked: unknown[] = [];
    world.hooks.tapsFor('discovery-test').discovery.admit.tap(({ sighting }) => {
      asked.push(sighting.seenOn);
      return { reason: 'rule', labels: { rack, row: 'a' } };
    });
    const boot = () => world.netboot.answer({ ...bootRequest(MAC_1), ip: '::ffff:10.2.0.9' });
    await boot();
    expect(asked).toEqual(['10.2.0.9']);
    const found = await world.control.getMachine(MAC_1);
    expect(found).toMatchObject({ admission: 'held', labels: { rack, row: 'a' }, seenOn: '10.2.0.9' });
    await world.control.acceptMachine(MAC_1, 'ann');
    await world.control.labelMachine(MAC_1, { row: 'z' }, 'ann');
    rack = '2';
    await boot();
    expect(await world.control.getMachine(MAC_1)).toMatchObject({
      admission: 'accepted',
      labels: { rack: '2', row: 'z' },
    });
  });

  const controllerSays = (facts: ControllerFacts) =>
    world.hooks.tapsFor('power-test').boot.power.tap(() => ({
      where: 'controller 1',
      features: { off: false, cycle: false, state: true, netboot: false, facts: true },
      on: async () => {},
      state: async () => 'on',
      facts: async () => facts,
    }));

  it('admits a held machine once more with what its management controller said', async () => {
    world.hooks
      .tapsFor('discovery-test')
      .discovery.admit.tap(({ sighting, machine }) =>
        machine.controller?.serial === '7'
          ? { admission: 'accepted', reason: `by ${sighting.via}` }
          : { admission: 'held', reason: 'waits for its management controller' },
      );
    controllerSays({ serial: '7' });
    await seen(MAC_1);
    expect((await seen(MAC_1)).admission).toBe('held');
    await world.control.powerMachine(MAC_1, 'status', 'ann');
    expect(await world.control.getMachine(MAC_1)).toMatchObject({
      admission: 'accepted',
      admissionReason: 'by controller',
    });
  });

  it('admits it as whom it was seen: rules for its MAC address and UUID still concern it', async () => {
    const asked: unknown[] = [];
    world.hooks.tapsFor('discovery-test').discovery.admit.tap(({ sighting: { mac, uuid, via } }) => {
      asked.push([mac, uuid, via]);
      return undefined;
    });
    const facts = factsOf(MAC_1, {
      nics: [
        { name: 'a', mac: MAC_1 },
        { name: 'b', mac: MAC_2 },
      ],
    });
    const id = await acceptedMachine(world, MAC_1, facts);
    await seen(MAC_2, UUID);
    asked.length = 0;
    controllerSays({ serial: '7' });
    await world.control.powerMachine(id, 'status', 'ann');
    expect(asked).toEqual([[MAC_2, UUID, 'controller']]);
  });

  it('leaves a machine held when admission fails', async () => {
    world.hooks.tapsFor('discovery-test').discovery.admit.tap(() => {
      throw new Error('directory server is down');
    });
    expect((await seen(MAC_1)).admission).toBe('held');
  });

  it('takes over the name and labels that configuration declares', async () => {
    const declare = { name: 'rack1-a', macs: [MAC_1, MAC_2], labels: { rack: '1' } };
    world.hooks.tapsFor('discovery-test').discovery.identify.tap(() => ({ declare }));
    const machine = await seen(MAC_2);
    expect(machine).toMatchObject({ name: 'rack1-a', macs: [MAC_1, MAC_2], labels: { rack: '1' } });
  });
});

describe('an answer', () => {
  it('is silence for a client that is no client', async () => {
    expect(await world.netboot.answer(bootRequest('not a mac'))).toMatchObject({ plan: { kind: 'silent' } });
  });

  it('is silence, not an exception, when a plugin breaks', async () => {
    world.hooks.tapsFor('boot-test').boot.plan.tap(() => {
      throw new Error('oops');
    });
    const { plan } = await world.netboot.answer(bootRequest(MAC_1));
    expect(plan).toMatchObject({ kind: 'silent', reason: expect.stringContaining('boot-test') });
  });

  it('carries a new nonce each time, and kernel arguments without secrets', async () => {
    const plans = await Promise.all(
      [1, 2].map(async () => (await world.netboot.answer(bootRequest(MAC_1))).plan),
    );
    const nonces = plans.map((plan) => (plan.kind === 'ramdisk' ? plan.nonce : ''));
    expect(new Set(nonces).size).toBe(2);
    for (const plan of plans) {
      expect(plan.kind === 'ramdisk' && plan.kernelArguments.join(' ')).toBe(
        'console=tty0 console=ttyS0,115200',
      );
    }
  });

  it('names ARM’s serial port to ARM machines, last, so that it is their console', async () => {
    const { plan } = await world.netboot.answer({ ...bootRequest(MAC_1), arch: 'uefi-arm64' });
    expect(plan).toMatchObject({
      kernelArguments: ['console=tty0', 'console=ttyS0,115200', 'console=ttyAMA0,115200'],
    });
  });

  it('lists every reserved address', async () => {
    await world.control.createServer({ name: 'a', address: '10.0.0.5' }, 'test');
    await world.control.createServer({ name: 'b' }, 'test');
    expect(await world.netboot.reservedAddresses()).toEqual(['10.0.0.5']);
    expect(await world.netboot.reservation(MAC_1)).toBeUndefined();
  });

  it.each(['', '../etc/passwd', '/etc/passwd', 'a//b', 'a/../b', 'a\0b'])(
    'has no artifact %j',
    async (name) => {
      const asked: string[] = [];
      world.hooks.tapsFor('boot-test').boot.artifact.tap((request) => {
        asked.push(request.name);
        return undefined;
      });
      expect(await world.netboot.artifact(name)).toBeUndefined();
      expect(asked).toEqual([]);
    },
  );
});

describe('parseRange', () => {
  it.each([
    ['bytes=0-3', { offset: 0, length: 4 }],
    ['bytes=5-', { offset: 5, length: 5 }],
    ['bytes=-4', { offset: 6, length: 4 }],
    ['bytes=-40', { offset: 0, length: 10 }],
    ['bytes=8-99', { offset: 8, length: 2 }],
    ['bytes=10-', 'unsatisfiable'],
    ['bytes=-0', 'unsatisfiable'],
    ['bytes=3-1', undefined],
    ['bytes=0-1,3-4', undefined],
    ['lines=0-1', undefined],
    ['bytes=-', undefined],
  ])('reads %s of ten bytes', (header, range) => {
    expect(parseRange(header, 10)).toEqual(range);
  });
});
