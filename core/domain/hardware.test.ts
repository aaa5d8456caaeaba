import { describe, expect, it } from 'vitest';
import { hardwareOf } from './hardware.ts';
import type { Machine } from './machine.ts';

const at = '2026-11-25T00:00:00.000Z';
const machine = (more: Partial<Machine>): Machine => ({
  id: 'm',
  name: 'm',
  macs: [],
  admission: 'held',
  labels: {},
  firstSeenAt: at,
  lastSeenAt: at,
  ...more,
});
const facts = (dmi: object, uuid?: string): NonNullable<Machine['facts']> => ({
  ...(uuid === undefined ? {} : { uuid }),
  firmware: 'uefi',
  arch: 'x86_64',
  cpu: { model: 'c', cores: 1 },
  memoryBytes: 1,
  disks: [],
  nics: [],
  dmi,
});

describe('hardware', () => {
  it('is nothing while nobody reported', () => expect(hardwareOf(machine({}))).toEqual([]));

  it('is what the agent read, before the controller, before DHCP; who disagrees is named', () => {
    const all = hardwareOf(
      machine({
        facts: facts({ vendor: 'Dell Inc.', serial: 'ABC' }, 'u-1'),
        controller: { vendor: 'dell inc. ', serial: 'XYZ', product: 'R640', uuid: 'u-1', watts: 170, at },
        dhcp: { uuid: 'u-2', hostname: 'node7', at },
      }),
    );
    expect(all).toEqual([
      { name: 'vendor', value: 'Dell Inc.', from: 'agent', against: [] },
      { name: 'product', value: 'R640', from: 'controller', against: [] },
      { name: 'serial', value: 'ABC', from: 'agent', against: [{ value: 'XYZ', from: 'controller' }] },
      { name: 'uuid', value: 'u-1', from: 'agent', against: [{ value: 'u-2', from: 'dhcp' }] },
      { name: 'hostname', value: 'node7', from: 'dhcp', against: [] },
      { name: 'power', value: '170 W', from: 'controller', against: [] },
    ]);
  });

  it('passes over what is blank', () => {
    const [serial] = hardwareOf(machine({ facts: facts({ serial: ' ' }), controller: { serial: 'S', at } }));
    expect(serial).toMatchObject({ value: 'S', from: 'controller' });
  });
});
