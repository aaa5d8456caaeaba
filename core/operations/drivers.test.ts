import { describe, expect, it } from 'vitest';
import type { DrivenDevice } from '../domain/machine.ts';
import { MemoryRepository } from '../testing/fakes/memory-repository.ts';
import { assertDriven, disksWithoutDriver } from './drivers.ts';
import { factsOf, fileEntry, MAC_1, MIB } from './fixture.ts';

const AHCI = {
  modalias: 'pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01',
  module: 'ahci',
};
const SD = { modalias: 'scsi:t-0x00', module: 'sd_mod' };
const VIRTIO_NET = { modalias: 'virtio:d00000001v00001AF4', module: 'virtio_net' };
const VERSION = '6.1.0-9-amd64';
const kernel = { version: VERSION, image: `boot/vmlinuz-${VERSION}`, initrd: `boot/initrd.img-${VERSION}` };

/** What depmod would leave for a kernel with sd_mod and virtio-net, and nothing for SATA. */
const INDEXES = {
  'modules.dep': 'kernel/drivers/scsi/sd_mod.ko.xz: kernel/drivers/scsi/scsi_mod.ko.xz\n',
  'modules.builtin': 'kernel/drivers/net/virtio-net.ko\n',
  'modules.alias': '# Aliases\nalias pci:v00001000d*sv*sd*bc*sc*i* megaraid\n',
};

interface Devices {
  readonly disk?: DrivenDevice[];
  readonly nic?: DrivenDevice[];
  readonly otherDisk?: DrivenDevice[];
}

/** What the functions under test are given: an image with these indexes, a machine with these devices. */
function given(
  devices: Devices,
  indexes: Partial<typeof INDEXES> = INDEXES,
  home = 'usr/lib/modules',
): Parameters<typeof assertDriven> {
  const repository = new MemoryRepository();
  const manifest = repository.image(
    Object.entries(indexes).map(([name, text]) => fileEntry(repository, `${home}/${VERSION}/${name}`, text)),
  );
  const disk = (name: string, of: DrivenDevice[] | undefined) => ({
    name,
    bytes: 8192 * MIB,
    sectorBytes: 512,
    transport: 'sata' as const,
    removable: false,
    ...(of === undefined ? {} : { devices: of }),
  });
  const facts = factsOf(MAC_1, {
    disks: [
      disk('sda', devices.disk),
      ...(devices.otherDisk === undefined ? [] : [disk('sdb', devices.otherDisk)]),
    ],
    nics: [{ name: 'eth0', mac: MAC_1, ...(devices.nic === undefined ? {} : { devices: devices.nic }) }],
  });
  const machine = {
    id: 'm1',
    name: 'rack3-07',
    macs: [MAC_1],
    admission: 'accepted' as const,
    labels: {},
    facts,
    firstSeenAt: '',
    lastSeenAt: '',
  };
  return [repository, { manifest, fresh: true, label: 'web@1' }, kernel, machine];
}

function check(...how: Parameters<typeof given>): Promise<void> {
  return assertDriven(...given(...how));
}

const refused = { code: 'MASTER_UNBOOTABLE' };

describe('assertDriven', () => {
  it('refuses a kernel without the disk controller’s driver and names all that matters', async () => {
    const checking = check({ disk: [SD, AHCI] });
    await expect(checking).rejects.toMatchObject(refused);
    await expect(checking).rejects.toThrow(
      /kernel 6\.1\.0-9-amd64 of web@1 .* disk of rack3-07: sda \(ahci\)/,
    );
  });

  it('refuses one without the network interface’s driver', async () => {
    const nic = [{ modalias: 'pci:v00008086d0000100Esv00001AF4sd00001100bc02sc00i00', module: 'e1000' }];
    await expect(check({ disk: [SD], nic })).rejects.toThrow(/network interface of rack3-07: eth0 \(e1000\)/);
  });

  it('takes a module by its file, built in or not, whatever the dash', async () => {
    await check({ disk: [SD], nic: [VIRTIO_NET] });
    await check({ disk: [SD], nic: [VIRTIO_NET] }, INDEXES, 'lib/modules');
  });

  it.each([
    'pci:v*d*sv*sd*bc01sc06i01*',
    'pci:v00008086d00002922sv*sd*bc*sc*i*',
    'pci:v00008086d0000292[0-4]sv*sd*bc*sc*i01',
    'pci:v00008086d0000292?sv*',
    '*bc01sc06i01',
    AHCI.modalias,
  ])('takes another module that is for this device: %s', (pattern) =>
    check({ disk: [AHCI] }, { ...INDEXES, 'modules.alias': `alias ${pattern} other\n` }),
  );

  it.each([
    'pci:v*d*sv*sd*bc01sc06i02*',
    'pci:v00008086d0000292[5-9]sv*',
    'pci:v00008086d00002922',
    '*bc01sc06',
    'pci:v00008086*bc01*bc01*',
    'pci:v(0+)+8086*',
    `pci:v${'*0'.repeat(500)}*x`,
  ])('does not take one that is for others: %s', (pattern) =>
    expect(
      check({ disk: [AHCI] }, { ...INDEXES, 'modules.alias': `alias ${pattern} other\n` }),
    ).rejects.toMatchObject(refused),
  );

  it('lets a machine pass that has another disk with a driver', () =>
    check({ disk: [AHCI], otherDisk: [SD] }));

  it('names the disks to be avoided', async () => {
    expect(await disksWithoutDriver(...given({ disk: [AHCI], otherDisk: [SD] }))).toEqual(['sda']);
    expect(await disksWithoutDriver(...given({ disk: [AHCI] }, {}))).toEqual([]);
  });

  it('lets pass what it cannot judge: a kernel without indexes, a machine that told nothing', async () => {
    await check({ disk: [AHCI] }, { 'modules.builtin': '' });
    await check({});
  });
});
