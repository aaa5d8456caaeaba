import type { MachineFacts } from '@overdub/core/agent';
import type { LldpListenOptions } from '@overdub/lib-netboot';
import { beforeEach, describe, expect, it } from 'vitest';
import { reportNeighbours } from './neighbours.ts';

const FACTS: MachineFacts = {
  firmware: 'uefi',
  arch: 'x86_64',
  cpu: { model: 'c', cores: 1 },
  memoryBytes: 1,
  disks: [],
  nics: [
    { name: 'eth0', mac: '52:54:00:00:00:01' },
    { name: 'eth1', mac: '52:54:00:00:00:02' },
  ],
  dmi: {},
};
const NEIGHBOUR = { chassisId: '02:00:00:00:00:01', portId: 'Gi1/0/7', ttlSeconds: 120, systemName: 'sw1' };

let stop: AbortController;
let told: MachineFacts[];
let slept: number[];
let lines: string[];
let refuse: number;
let ears: LldpListenOptions | undefined;

beforeEach(() => {
  stop = new AbortController();
  [told, slept, lines, refuse, ears] = [[], [], [], 0, undefined];
});

const begin = (): Promise<void> =>
  reportNeighbours({
    facts: FACTS,
    signal: stop.signal,
    print: (line) => lines.push(line),
    sleep: async (ms) => void slept.push(ms),
    tell: async (facts) => {
      if (refuse-- > 0) throw new Error('the appliance is away');
      told.push(facts);
    },
    listen: (options) => {
      ears = options;
      return new Promise<never>((_, reject) => {
        stop.signal.addEventListener('abort', () => reject(stop.signal.reason as Error));
      });
    },
  });

const end = async (running: Promise<void>): Promise<void> => {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  stop.abort(new Error('over'));
  await running;
};

describe('neighbours', () => {
  it('that come together are told in one report, beside the facts of before', async () => {
    const running = begin();
    expect(ears?.interfaces).toEqual(['eth0', 'eth1']);
    ears?.onNeighbour('eth0', NEIGHBOUR);
    ears?.onNeighbour('eth1', { ...NEIGHBOUR, portId: 'Gi1/0/8', vlan: 30 });
    await end(running);
    expect(told).toHaveLength(1);
    expect(told[0]).toMatchObject({ cpu: FACTS.cpu, firmware: 'uefi' });
    expect(told[0]?.nics.map(({ neighbour }) => neighbour)).toEqual([
      { chassisId: '02:00:00:00:00:01', portId: 'Gi1/0/7', systemName: 'sw1' },
      { chassisId: '02:00:00:00:00:01', portId: 'Gi1/0/8', systemName: 'sw1', vlan: 30 },
    ]);
    expect(lines[0]).toBe('eth0 is plugged into sw1, Gi1/0/7');
  });

  it('are told again when the appliance was away', async () => {
    refuse = 2;
    const running = begin();
    ears?.onNeighbour('eth1', NEIGHBOUR);
    await end(running);
    expect(told).toHaveLength(1);
    expect(slept).toEqual([2000, 30_000, 30_000]);
    expect(lines.filter((line) => line.includes('the appliance is away'))).toHaveLength(2);
  });

  it('that take their leave are not told', async () => {
    const running = begin();
    ears?.onNeighbour('eth0', undefined);
    await end(running);
    expect(told).toEqual([]);
  });

  it('that nobody can listen to cost a line, and nothing else', async () => {
    const running = reportNeighbours({
      facts: FACTS,
      signal: stop.signal,
      print: (line) => lines.push(line),
      sleep: async () => undefined,
      tell: async () => undefined,
      listen: () => Promise.reject(new Error('no koffi here')),
    });
    await running;
    expect(lines).toEqual(['LLDP is not listened to: Error: no koffi here']);
  });
});
