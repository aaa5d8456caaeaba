import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DiskFeature, PreparedDisk, ServerIdentity } from '@overdub/core/agent';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LoopHost, TEST_FACTS } from '../testing/loop-host.ts';
import { createDiskFeature } from './feature.ts';

const MiB = 1024 * 1024;
const identity: ServerIdentity = {
  hostname: 'web-1',
  machineId: '0123456789abcdef0123456789abcdef',
  rootUuid: '11111111-2222-4333-8444-555555555555',
  espId: 'ABCD0123',
};
const signal = new AbortController().signal;

describe('disks', () => {
  let directory: string;
  let host: LoopHost;
  let feature: DiskFeature;
  let open: PreparedDisk | undefined;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'overdub-disk-'));
    host = new LoopHost(directory);
    feature = createDiskFeature(host);
    open = undefined;
  });
  afterEach(async () => {
    if (open !== undefined) await feature.close(open);
    host.cleanUp();
    rmSync(directory, { recursive: true, force: true });
  });

  it.each([512, 4096])(
    'partitions, formats, mounts, and finds it again (sectors of %i bytes)',
    async (sectorBytes) => {
      host.addDisk('big', 2000 * MiB, sectorBytes);
      const file = host.addDisk('small', 700 * MiB, sectorBytes);
      open = await feature.prepare({ identity, neededBytes: 300 * MiB }, signal);
      expect(open).toMatchObject({ pin: 'small', bytes: 700 * MiB });
      writeFileSync(join(open.rootMount, 'kept'), 'x');
      await feature.close(open);
      await feature.close(open);
      const dump = JSON.parse(
        execFileSync('sfdisk', ['-J', open.device], { encoding: 'utf8' }),
      ).partitiontable;
      expect(dump).toMatchObject({ label: 'gpt', sectorsize: sectorBytes });
      expect(dump.partitions.map(({ name }: { name: string }) => name)).toEqual([
        'overdub-bios',
        'overdub-esp',
        'overdub-root',
      ]);
      const root = await host.partition(dump.device.replace('/dev/', ''), 3);
      expect(
        execFileSync('blkid', ['-p', '-o', 'value', '-s', 'UUID', root], { encoding: 'utf8' }).trim(),
      ).toBe(identity.rootUuid);
      execFileSync('e2fsck', ['-fn', root], { stdio: 'ignore' });
      open = await feature.open(identity, signal);
      expect(existsSync(join(open.rootMount, 'kept'))).toBe(true);
      expect(open.pin).toBe('small');
      expect(statSync(file).size).toBe(700 * MiB);
    },
  );

  it('says which disks there are when none is big enough, or the pinned one is gone', async () => {
    host.addDisk('tiny', 100 * MiB);
    const plan = { identity, neededBytes: 300 * MiB };
    await expect(feature.prepare(plan, signal)).rejects.toMatchObject({
      code: 'DISK_UNSUITABLE',
      message: expect.stringMatching(/needs 560 MiB\. Disks found: loop\d+ 100 MiB \(virtio, tiny\)/),
    });
    await expect(feature.prepare({ ...plan, pin: 'other' }, signal)).rejects.toMatchObject({
      message: expect.stringContaining('other'),
    });
    await expect(feature.open(identity, signal)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('refuses when two disks carry the same root, naming both', async () => {
    const twin = (serial: string) => {
      host.addDisk(serial, 600 * MiB);
      return feature.prepare({ identity, neededBytes: 100 * MiB, pin: serial }, signal);
    };
    await feature.close(await twin('one'));
    await feature.close(await twin('two'));
    const roots = host.volumes().filter((_, at) => at % 2 === 1);
    const message = expect.stringContaining(roots.map(({ device }) => device).join(' and '));
    await expect(feature.open(identity, signal)).rejects.toMatchObject({ code: 'CONFLICT', message });
  });

  it('renders bootloaders for both firmware kinds and the interface binding, again with the same result', async () => {
    host.addDisk('disk', 700 * MiB);
    open = await feature.prepare({ identity, neededBytes: 100 * MiB }, signal);
    const { rootMount, espMount, device } = open;
    mkdirSync(join(rootMount, 'boot'));
    for (const version of ['6.9.1', '6.10.0']) {
      writeFileSync(join(rootMount, `boot/vmlinuz-${version}`), 'k');
      writeFileSync(join(rootMount, `boot/initrd.img-${version}`), 'i');
    }
    await feature.render(open, identity, TEST_FACTS);
    const config = readFileSync(join(espMount, 'overdub/grub/grub.cfg'), 'utf8');
    execFileSync('grub-script-check', { input: config });
    expect(config.indexOf('overdub_boot /boot/vmlinuz-6.10.0')).toBeLessThan(
      config.indexOf('overdub_boot /boot/vmlinuz-6.9.1'),
    );
    expect(readFileSync(join(espMount, 'EFI/BOOT/BOOTX64.EFI')).toString('latin1', 0, 2)).toBe('MZ');
    expect(readdirSync(join(espMount, 'overdub/grub/i386-pc'))).toContain('normal.mod');
    const link = readFileSync(join(rootMount, 'etc/systemd/network/10-overdub-lan0.link'), 'utf8');
    expect(link).toContain('PermanentMACAddress=52:54:00:00:00:02\n');
    const sectorZero = () => execFileSync('dd', [`if=${device}`, 'bs=512', 'count=1', 'status=none']);
    const before = sectorZero();
    expect(before.readUInt16LE(510)).toBe(0xaa55);
    expect(before.readBigUInt64LE(0x5c)).toBe(2048n);
    await feature.render(open, identity, { ...TEST_FACTS, nics: [{ name: 'x', mac: '52:54:00:00:00:09' }] });
    expect(sectorZero().equals(before)).toBe(true);
    expect(readdirSync(join(rootMount, 'etc/systemd/network'))).toEqual(['10-overdub-lan0.link']);
    execFileSync('sfdisk', ['--verify', device]);
  });
});
