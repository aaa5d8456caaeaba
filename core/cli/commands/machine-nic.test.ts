import { expect, test } from 'vitest';
import { nicLine } from './machine.ts';

const NIC = { name: 'eth0', mac: '52:54:00:12:34:56' };

test.each([
  [NIC, 'eth0 52:54:00:12:34:56'],
  [{ ...NIC, driver: 'igb' }, 'eth0 52:54:00:12:34:56 igb'],
  [
    { ...NIC, neighbour: { chassisId: '02:00:00:00:00:01', portId: '7' } },
    'eth0 52:54:00:12:34:56 → 02:00:00:00:00:01, 7',
  ],
  [
    {
      ...NIC,
      neighbour: {
        chassisId: 'c',
        portId: '7',
        systemName: 'sw1',
        portDescription: 'rack3\x1b[2J',
        vlan: 30,
      },
    },
    'eth0 52:54:00:12:34:56 → sw1, 7 (rack3\\u{1b}[2J), VLAN 30',
  ],
  [
    { ...NIC, neighbour: { chassisId: 'c', portId: '7', portDescription: '7' } },
    'eth0 52:54:00:12:34:56 → c, 7',
  ],
])('an interface %#', (nic, line) => expect(nicLine(nic)).toBe(line));
