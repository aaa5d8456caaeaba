import {
  type AdmissionDecision,
  type AdmissionRequest,
  type HookTaps,
  type Identification,
  type Machine,
  type NicFacts,
  OverdubError,
  type PluginContext,
  type Sighting,
} from '@overdub/core';
import { Check } from 'typebox/value';
import { describe, expect, test } from 'vitest';
import { decideAdmission } from './admit.ts';
import discovery from './index.ts';
import { DiscoveryOptions } from './options.ts';

const [A, B, C] = ['52:54:00:00:00:0a', '52:54:00:00:00:0b', '02:00:00:00:00:0c'] as const;
const UUID = '00112233-4455-6677-0809-0a0b0c0d0e0f';
const nics = (...macs: string[]): NicFacts[] => macs.map((mac, index) => ({ name: `eth${index}`, mac }));
const facts = (...macs: string[]): NonNullable<Machine['facts']> => ({
  firmware: 'bios',
  arch: 'x86_64',
  cpu: { model: 'x', cores: 1 },
  memoryBytes: 1,
  disks: [],
  nics: nics(...macs),
  dmi: {},
});
const machine = (more: Partial<Machine>): Machine => ({
  id: 'm1',
  name: 'machine-a',
  macs: [A],
  admission: 'held',
  labels: {},
  firstSeenAt: '',
  lastSeenAt: '',
  ...more,
});
const sighting = (more: Partial<Sighting> = {}): Sighting => ({ mac: A, via: 'boot', ...more });

function applied(options: DiscoveryOptions, machines: readonly Machine[], failure?: Error) {
  const taps: {
    identify?: (sighting: Sighting) => Promise<Identification | undefined>;
    admit?: (input: AdmissionRequest) => AdmissionDecision | undefined;
  } = {};
  const tapTo = (name: 'identify' | 'admit') => ({
    tap: (handler: never) => {
      taps[name] = handler;
    },
  });
  const ctx = {
    hooks: { discovery: { identify: tapTo('identify'), admit: tapTo('admit') } } as unknown as HookTaps,
    control: {
      getMachine: async (mac: string) => {
        if (failure !== undefined) throw failure;
        const found = machines.find((each) => each.macs.includes(mac));
        if (found === undefined) throw new OverdubError('NOT_FOUND', `no machine ${mac}`, '');
        return found;
      },
      listMachines: async () => [...machines],
    },
  } as unknown as PluginContext;
  const { definition } = discovery(options);
  definition.apply(ctx, options);
  return { definition, taps: taps as Required<typeof taps> };
}

test('the plugin is named like its folder', () => {
  expect(applied({}, []).definition.name).toBe('discovery-netboot');
});

describe('identify', () => {
  test('by MAC address, whatever the UUID says', async () => {
    const { taps } = applied({}, [machine({ uuid: UUID })]);
    expect(await taps.identify(sighting())).toEqual({ machineId: 'm1' });
    expect(await taps.identify(sighting({ uuid: 'ffffffff-0000-0000-0000-000000000001' }))).toEqual({
      machineId: 'm1',
    });
  });

  test('two machines claiming one UUID are not taken for one', async () => {
    const { taps } = applied({}, [machine({ uuid: UUID })]);
    expect(await taps.identify(sighting({ mac: B, uuid: UUID }))).toBeUndefined();
    expect(await taps.identify(sighting({ mac: B, uuid: UUID, facts: facts(B, C) }))).toBeUndefined();
  });

  test('a second interface of a known box is, once hardware ties them together', async () => {
    const reported = applied({}, [machine({ uuid: UUID, facts: facts(A, B) })]);
    expect(await reported.taps.identify(sighting({ mac: B, uuid: UUID }))).toEqual({ machineId: 'm1' });
    const reporting = applied({}, [machine({ uuid: UUID })]);
    expect(await reporting.taps.identify(sighting({ mac: B, uuid: UUID, facts: facts(A, B) }))).toEqual({
      machineId: 'm1',
    });
  });

  test('when two records are tied to it, neither is chosen', async () => {
    const both = [
      machine({ uuid: UUID, facts: facts(A, C) }),
      machine({ id: 'm2', macs: [B], uuid: UUID, facts: facts(B, C) }),
    ];
    expect(await applied({}, both).taps.identify(sighting({ mac: C, uuid: UUID }))).toBeUndefined();
  });

  test('an agent is left to the core, which compares its nonce with its hardware', async () => {
    expect(await applied({}, [machine({})]).taps.identify(sighting({ via: 'agent' }))).toBeUndefined();
  });

  test('a new machine is nobody yet', async () => {
    expect(await applied({}, []).taps.identify(sighting())).toBeUndefined();
  });

  test('a failing catalogue is not taken for an unknown machine', async () => {
    const { taps } = applied({}, [], new Error('disk I/O error'));
    await expect(taps.identify(sighting())).rejects.toThrow('disk I/O error');
  });
});

describe('admission', () => {
  test.each<[string, DiscoveryOptions, Partial<Sighting>, string]>([
    ['nothing said: held', {}, {}, 'held'],
    ['accept all', { admission: 'accept' }, {}, 'accepted'],
    ['reject all', { admission: 'reject' }, {}, 'rejected'],
    ['a prefix', { rules: [{ mac: '52:54:00', admission: 'accept' }] }, {}, 'accepted'],
    [
      'a prefix with dashes and capitals',
      { rules: [{ mac: '52-54-00-00-00-0A', admission: 'accept' }] },
      {},
      'accepted',
    ],
    ['another prefix', { rules: [{ mac: '02:00', admission: 'accept' }] }, {}, 'held'],
    ['a UUID', { rules: [{ uuid: UUID.toUpperCase(), admission: 'reject' }] }, { uuid: UUID }, 'rejected'],
    ['both, one wrong', { rules: [{ mac: '52', uuid: UUID, admission: 'accept' }] }, {}, 'held'],
    [
      'the first that fits',
      {
        admission: 'reject',
        rules: [
          { mac: '52:54', admission: 'hold' },
          { mac: '52', admission: 'accept' },
        ],
      },
      {},
      'held',
    ],
  ])('%s', (_, options, more, admission) => {
    const decision = decideAdmission(sighting(more), { labels: {} }, options);
    expect(decision.admission).toBe(admission);
    expect(decision.reason).toBeTruthy();
  });

  test('the network it was seen on last counts for an agent, which does not say', async () => {
    const rules = [{ subnet: '10.2.0.0/16', admission: 'accept' as const, setLabels: { site: 'b' } }];
    const { taps } = applied({ rules }, []);
    const known = machine({ seenOn: '10.2.3.4' });
    expect(await taps.admit({ sighting: sighting({ via: 'agent' }), machine: known })).toMatchObject({
      admission: 'accepted',
      labels: { site: 'b' },
    });
  });

  test('a copied UUID is held even where everything is accepted, and the reason names the other machine', async () => {
    const { taps } = applied({ admission: 'accept' }, []);
    const newcomer = machine({ id: 'm2', macs: [B], uuid: UUID });
    const sharer = machine({ uuid: UUID });
    expect(
      await taps.admit({ sighting: sighting({ mac: B, uuid: UUID }), machine: newcomer, sharer }),
    ).toMatchObject({
      admission: 'held',
      reason: expect.stringMatching(/UUID of machine-a/),
    });
    expect(
      await taps.admit({ sighting: sighting({ uuid: UUID }), machine: machine({ uuid: UUID }) }),
    ).toMatchObject({
      admission: 'accepted',
    });
  });
});

test.each<[unknown, boolean]>([
  [{}, true],
  [{ admission: 'accept', rules: [{ mac: '52:54:00', admission: 'hold' }] }, true],
  [{ admission: 'allow' }, false],
  [{ rules: [{ mac: '52:5', admission: 'hold' }] }, false],
  [{ rules: [{ uuid: 'x', admission: 'hold' }] }, false],
  [{ rules: [{ admission: 'accept' }] }, false],
  [{ rules: [{ mac: '52:54:00' }] }, false],
  [{ rule: [] }, false],
])('options %j are valid: %s', (options, valid) => expect(Check(DiscoveryOptions, options)).toBe(valid));
