import { describe, expect, it } from 'vitest';
import type { MachineFacts, NicFacts } from './machine.ts';
import { withKnownNeighbours } from './machine-facts.ts';

const NEIGHBOUR = { chassisId: 'sw', portId: '7' };
const facts = (...nics: NicFacts[]): MachineFacts => ({
  firmware: 'bios',
  arch: 'x86_64',
  cpu: { model: 'c', cores: 1 },
  memoryBytes: 1,
  disks: [],
  nics,
  dmi: {},
});
const nic = (mac: string, neighbour?: unknown): NicFacts =>
  ({ name: 'n', mac, ...(neighbour === undefined ? {} : { neighbour }) }) as NicFacts;

describe('neighbours', () => {
  it('are kept, by MAC address, while the agent has not heard them again', () => {
    const merged = withKnownNeighbours(
      facts(nic('b'), nic('a')),
      facts(nic('a', NEIGHBOUR), nic('c', NEIGHBOUR)),
    );
    expect(merged.nics).toEqual([nic('b'), nic('a', NEIGHBOUR)]);
  });

  it('are replaced by what is heard now', () => {
    const moved = { ...NEIGHBOUR, portId: '8', vlan: 3 };
    expect(withKnownNeighbours(facts(nic('a', moved)), facts(nic('a', NEIGHBOUR))).nics).toEqual([
      nic('a', moved),
    ]);
  });

  it.each([
    null,
    5,
    'x',
    [],
    {},
    { chassisId: 'sw' },
    { chassisId: 1, portId: 2 },
    { chassisId: '', portId: '7' },
  ])('of no right form, such as %j, are left out', (value) =>
    expect(withKnownNeighbours(facts(nic('a', value)), undefined).nics).toEqual([nic('a')]),
  );

  it('are bounded', () => {
    const { neighbour } = withKnownNeighbours(
      facts(nic('a', { ...NEIGHBOUR, systemName: 'x'.repeat(9999), vlan: 'y', other: 1 })),
      undefined,
    ).nics[0] as NicFacts;
    expect(neighbour).toEqual({ ...NEIGHBOUR, systemName: 'x'.repeat(255) });
  });
});
