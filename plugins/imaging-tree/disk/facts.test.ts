import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { chooseDisk, pinOf } from './choose.ts';
import { type DiskDevice, readDisks, readFacts } from './facts.ts';
import { linuxHost } from './host.ts';
import { isDiskName, partitionName } from './naming.ts';

const GiB = 1024 ** 3;

describe('facts', () => {
  let base: string;
  beforeEach(() => {
    base = mkdtempSync(join(tmpdir(), 'overdub-facts-'));
  });
  afterEach(() => rmSync(base, { recursive: true, force: true }));
  const put = (path: string, value: string | Buffer) => {
    mkdirSync(dirname(join(base, path)), { recursive: true });
    writeFileSync(join(base, path), value);
  };
  /** A disk whose `device` link leads along a bus, as in the real /sys. */
  const disk = (name: string, bus: string, files: Record<string, string | Buffer>) => {
    put(`sys/block/${name}/size`, String((10 * GiB) / 512));
    put(`sys/block/${name}/queue/logical_block_size`, '512\n');
    mkdirSync(join(base, 'sys/devices', bus), { recursive: true });
    symlinkSync(join(base, 'sys/devices', bus), join(base, `sys/block/${name}/device`));
    for (const [file, value] of Object.entries(files)) put(`sys/block/${name}/${file}`, value);
  };

  it('reads disks of every transport, and only disks', () => {
    disk('vda', 'pci0/virtio1', { serial: 'VIRT1\n', removable: '0' });
    disk('sda', 'pci0/ata1/host0/target', {
      'device/vpd_pg80': Buffer.from('\0\x80\0\x08  SER123', 'latin1'),
      'device/wwid': 'naa.5000c500\n',
      'device/model': 'ACME    ',
    });
    disk('sdb', 'pci0/usb1/1-1/host3', { removable: '1' });
    disk('sdc', 'pci0/host4/port-4', {});
    disk('nvme0n1', 'pci0/nvme/nvme0', { wwid: 'eui.01', 'device/serial': 'NV1' });
    disk('mmcblk0', 'platform/mmc', {});
    for (const name of ['loop0', 'sr0', 'ram0', 'zram0', 'dm-0', 'md0', 'fd0', 'mmcblk0boot0'])
      disk(name, `x/${name}`, {});
    put('sys/block/sdd/size', '0');
    const disks = readDisks(join(base, 'sys'));
    expect(disks.map(({ name, transport }) => `${name} ${transport}`)).toEqual([
      'mmcblk0 unknown',
      'nvme0n1 nvme',
      'sda sata',
      'sdb usb',
      'sdc scsi',
      'vda virtio',
    ]);
    const byName = new Map(disks.map((found) => [found.name, found]));
    expect(byName.get('sda')).toMatchObject({
      serial: 'SER123',
      wwn: 'naa.5000c500',
      model: 'ACME',
      removable: false,
    });
    expect(byName.get('sdb')?.removable).toBe(true);
    expect(disks.map(pinOf).slice(0, 3)).toEqual([
      expect.stringMatching(/^path:.*mmc$/),
      'eui.01',
      'naa.5000c500',
    ]);
  });

  it('names what must be driven: the device and its controllers, as far as modules do it', () => {
    const bus = 'pci0/0000:00:1f.2/ata1/0:0:0:0';
    disk('sda', bus, {});
    const drivenBy = (device: string, modalias: string, driver: string, module?: string) => {
      put(`sys/devices/${device}/modalias`, `${modalias}\n`);
      mkdirSync(join(base, 'sys/bus/drivers', driver), { recursive: true });
      symlinkSync(join(base, 'sys/bus/drivers', driver), join(base, `sys/devices/${device}/driver`));
      if (module === undefined) return;
      mkdirSync(join(base, 'sys/module', module), { recursive: true });
      symlinkSync(join(base, 'sys/module', module), join(base, `sys/bus/drivers/${driver}/module`));
    };
    drivenBy(bus, 'scsi:t-0x00', 'sd', 'sd_mod');
    drivenBy('pci0/0000:00:1f.2', 'pci:v00008086d00002922', 'ahci', 'ahci');
    drivenBy('pci0', 'acpi:PNP0A08', 'bridge');
    expect(readDisks(join(base, 'sys'))[0]?.devices).toEqual([
      { modalias: 'scsi:t-0x00', module: 'sd_mod' },
      { modalias: 'pci:v00008086d00002922', module: 'ahci' },
    ]);
  });

  it('reads firmware, board, processor, memory and interfaces', () => {
    put('sys/class/dmi/id/product_uuid', '4C4C4544-0000-2010-8020-80C04F202020\n');
    put('sys/class/dmi/id/sys_vendor', 'QEMU\n');
    put('sys/class/dmi/id/product_serial', '   \n');
    put('proc/cpuinfo', 'processor\t: 0\nmodel name\t: Fast CPU\n\nprocessor\t: 1\nmodel name\t: Fast CPU\n');
    put('proc/meminfo', 'MemTotal:        2048 kB\n');
    put('sys/class/net/eth0/address', '52:54:00:AA:BB:CC\n');
    put('sys/class/net/eth0/carrier', '1\n');
    put('sys/class/net/eth0/speed', '-1\n');
    mkdirSync(join(base, 'sys/class/net/eth0/device'));
    put('sys/class/net/lo/address', '00:00:00:00:00:00\n');
    put('sys/class/net/br0/address', '52:54:00:aa:bb:cd\n');
    const facts = readFacts({ sys: join(base, 'sys'), proc: join(base, 'proc') }, 'x64');
    expect(facts).toEqual({
      uuid: '4c4c4544-0000-2010-8020-80c04f202020',
      firmware: 'bios',
      arch: 'x86_64',
      cpu: { model: 'Fast CPU', cores: 2 },
      memoryBytes: 2048 * 1024,
      disks: [],
      nics: [{ name: 'eth0', mac: '52:54:00:aa:bb:cc', link: true, devices: [] }],
      dmi: { vendor: 'QEMU' },
    });
    mkdirSync(join(base, 'sys/firmware/efi'), { recursive: true });
    expect(readFacts({ sys: join(base, 'sys'), proc: join(base, 'proc') }, 'arm64')).toMatchObject({
      firmware: 'uefi',
      arch: 'arm64',
    });
    const unknown = () => readFacts({ sys: join(base, 'sys'), proc: join(base, 'proc') }, 'riscv64');
    expect(unknown).toThrow(expect.objectContaining({ code: 'ARCH_UNKNOWN' }));
  });

  it('holds on the machine that runs this', () => {
    const facts = linuxHost.facts();
    expect(facts.memoryBytes).toBeGreaterThan(1 << 28);
    expect(facts.cpu.cores).toBeGreaterThan(0);
  });
});

describe('choice of a disk', () => {
  const make = (name: string, gib: number, more: Partial<DiskDevice> = {}): DiskDevice => ({
    name,
    bytes: gib * GiB,
    sectorBytes: 512,
    transport: 'sata',
    serial: `s-${name}`,
    removable: false,
    place: `/devices/${name}`,
    ...more,
  });

  it('takes the smallest that suffices and stays in the machine', () => {
    const disks = [
      make('sda', 40),
      make('sdb', 20),
      make('sdc', 4),
      make('sdd', 8, { removable: true }),
      make('sde', 9, { transport: 'usb' }),
    ];
    expect(chooseDisk(disks, { neededBytes: 6 * GiB }).name).toBe('sdb');
    expect(chooseDisk(disks, { neededBytes: 6 * GiB, avoid: ['sdb'] }).name).toBe('sda');
  });

  it('takes the pinned one by WWN, serial or place, however it is named now', () => {
    const disks = [make('sda', 40, { wwn: 'w1' }), make('sdb', 20)];
    expect(
      ['w1', 's-sda', 'path:/devices/sda'].map((pin) => chooseDisk(disks, { neededBytes: GiB, pin }).name),
    ).toEqual(['sda', 'sda', 'sda']);
  });

  it.each([
    ['no disk', [], undefined, /needs 6\.3 GiB\. Disks found: none/],
    ['only small ones', [make('sda', 4)], undefined, /sda 4\.0 GiB \(sata, s-sda\)/],
    ['the pinned one too small', [make('sda', 4), make('sdb', 40)], 's-sda', /s-sda \(sda\) is too small/],
    ['the pinned one gone', [make('sdb', 40)], 's-sda', /s-sda, which .* is not here/],
    [
      'two of one serial',
      [make('a', 40, { serial: 'x' }), make('b', 40, { serial: 'x' })],
      'x',
      /a and b both/,
    ],
  ] as const)('refuses: %s', (_, disks, pin, message) => {
    const choose = () => chooseDisk(disks, { neededBytes: 6 * GiB, ...(pin === undefined ? {} : { pin }) });
    expect(choose).toThrow(
      expect.objectContaining({ code: 'DISK_UNSUITABLE', message: expect.stringMatching(message) }),
    );
  });

  it('refuses when all that suffice are to be avoided, and says so', () => {
    const choose = () => chooseDisk([make('sda', 40)], { neededBytes: GiB, avoid: ['sda'] });
    expect(choose).toThrow(/needs 1\.3 GiB; its kernel has no driver for sda\. Disks found: sda/);
  });
});

it('names partitions as the kernel does', () => {
  expect(['sda', 'vdb', 'nvme0n1', 'mmcblk0'].map((disk) => partitionName(disk, 3))).toEqual([
    'sda3',
    'vdb3',
    'nvme0n1p3',
    'mmcblk0p3',
  ]);
  expect(isDiskName('nvme0n1p1')).toBe(false);
});
