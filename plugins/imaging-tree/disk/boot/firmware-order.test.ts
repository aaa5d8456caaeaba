import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PreparedDisk } from '@overdub/core/agent';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LoopHost, TEST_FACTS } from '../../testing/loop-host.ts';
import { createDiskFeature } from '../feature.ts';
import { readGpt } from '../gpt.ts';
import { orderWith, parseEntries } from './firmware-order.ts';

const PRINTED = `BootCurrent: 0002
Timeout: 0 seconds
BootOrder: 0002,0003,000A,0001,0000
Boot0000* UiApp\tFvVol(7cb8bdc9-f8eb-4f34-aaea-3ee4af6516a1)/FvFile(462caa21-7614-4503-836e-8ab6f4662331)
Boot0001* UEFI Misc Device\tPciRoot(0x0)/Pci(0x3,0x0){auto_created_boot_option}
Boot0002* UEFI PXEv4 (MAC:525400770302)\tPciRoot(0x0)/Pci(0x2,0x0)/MAC(525400770302,1)/IPv4(0.0.0.00.0.0.0,0,0)
Boot0003* UEFI PXEv6 (MAC:525400770302)\tPciRoot(0x0)/Pci(0x2,0x0)/MAC(525400770302,1)/IPv6([::]:<->[::]:,0,0)
Boot000A* Overdub\tHD(2,GPT,0A1B2C3D-0000-4000-8000-00000000000A,0x1000,0x80000)/File(\\EFI\\overdub\\grubx64.efi)
`;

describe('the firmware’s entries', () => {
  it('are read, ours among them', () => {
    expect(parseEntries(PRINTED)).toEqual({
      current: '0002',
      order: ['0002', '0003', '000A', '0001', '0000'],
      ours: [{ number: '000A', partition: '0a1b2c3d-0000-4000-8000-00000000000a' }],
    });
    expect(parseEntries('Timeout: 0 seconds\n')).toEqual({ order: [], ours: [] });
    expect(parseEntries('Boot0001  Overdub\nBoot0002* Overdub two\tHD()\n').ours).toEqual([
      { number: '0001' },
    ]);
  });

  it.each([
    ['behind the one that booted', '2', ['2', '3', '1'], ['2', 'A', '3', '1']],
    ['moved there', '2', ['2', '3', 'A', '1'], ['2', 'A', '3', '1']],
    ['from before it', '2', ['A', '2', '3'], ['2', 'A', '3']],
    ['booted by ours: as it is', 'A', ['2', 'A', '3'], ['2', 'A', '3']],
    ['booted by one outside the order: last', '9', ['2', '3'], ['2', '3', 'A']],
    ['an unknown one, and ours is there: as it is', undefined, ['2', 'A', '3'], ['2', 'A', '3']],
    ['no order at all', undefined, [], ['A']],
  ])('are ordered: %s', (_name, current, order, expected) => {
    expect(orderWith('A', { ...(current === undefined ? {} : { current }), order })).toEqual(expected);
  });
});

/** A firmware that keeps entries as efibootmgr shows them. */
class Variables {
  readonly entries = new Map([
    ['0001', 'UEFI PXEv4\tMAC()'],
    ['0002', 'UEFI PXEv6\tMAC()'],
  ]);
  order = ['0001', '0002'];
  writes = 0;

  run(args: readonly string[], partition: string): string {
    const value = (flag: string) => args[args.indexOf(flag) + 1] ?? '';
    if (!args.includes('-v')) this.writes++;
    if (args.includes('-B')) {
      this.entries.delete(value('-b'));
      this.order = this.order.filter((number) => number !== value('-b'));
    }
    if (args.includes('-C')) {
      const path = `HD(${value('-p')},GPT,${partition},0x1000,0x80000)/File(${value('-l')})`;
      this.entries.set(`000${this.entries.size + 1}`, `${value('-L')}\t${path}`);
    }
    if (args.includes('-o')) this.order = value('-o').split(',');
    const lines = [...this.entries].map(([number, text]) => `Boot${number}* ${text}`);
    return ['BootCurrent: 0001', `BootOrder: ${this.order.join()}`, ...lines, ''].join('\n');
  }
}

describe('on a UEFI machine', () => {
  const identity = {
    hostname: 'web-1',
    machineId: '0'.repeat(32),
    rootUuid: '11111111-2222-4333-8444-555555555555',
    espId: 'ABCD0123',
  };
  const uefi = { ...TEST_FACTS, firmware: 'uefi' } as const;
  const { signal } = new AbortController();
  let directory: string;
  let host: LoopHost;
  let feature: ReturnType<typeof createDiskFeature>;
  let disk: PreparedDisk | undefined;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'overdub-order-'));
    host = new LoopHost(directory);
    feature = createDiskFeature(host);
    host.addDisk('disk', 700 * 1024 * 1024);
  });
  afterEach(async () => {
    if (disk !== undefined) await feature.close(disk);
    disk = undefined;
    host.cleanUp();
    rmSync(directory, { recursive: true, force: true });
  });

  async function render(firmware: Variables | Error): Promise<void> {
    const run = host.run;
    const plan = { identity, neededBytes: 100 * 1024 * 1024 };
    disk ??= await feature.prepare(plan, signal);
    const esp = readGpt(disk.device)?.partitions[1]?.guid ?? '';
    host.run = async (program, args, options) => {
      if (program !== 'efibootmgr') return run(program, args, options);
      if (firmware instanceof Error) throw firmware;
      return firmware.run(args, esp);
    };
    await feature.render(disk, identity, uefi).finally(() => {
      host.run = run;
    });
  }

  it('the disk comes right behind the network, and a second time nothing is written', async () => {
    const firmware = new Variables();
    await render(firmware);
    expect(firmware.order).toEqual(['0001', '0003', '0002']);
    expect(firmware.entries.get('0003')).toContain('File(\\EFI\\overdub\\grubx64.efi)');
    const { writes } = firmware;
    await render(firmware);
    expect(firmware.writes).toBe(writes);
    expect(host.warnings).toEqual([]);
  });

  it('an entry for a disk that burned gives way', async () => {
    const firmware = new Variables();
    firmware.entries.set('0003', 'Overdub\tHD(2,GPT,00000000-0000-4000-8000-000000000000,0x1,0x1)/File(x)');
    firmware.order = ['0003', '0001', '0002'];
    await render(firmware);
    expect([...firmware.entries.values()].filter((text) => text.startsWith('Overdub'))).toHaveLength(1);
    expect(firmware.order).toEqual(['0001', '0003', '0002']);
  });

  it('a firmware that refuses is told, and the disk is bootable all the same', async () => {
    await render(new Error('Could not prepare Boot variable: No space left on device'));
    expect(host.warnings).toEqual([expect.stringMatching(/boot order stays .*No space left/)]);
  });
});
