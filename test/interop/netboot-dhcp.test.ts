/** Real DHCP on a virtual switch: beside dnsmasq, and alone. Namespaces need root. */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { stopped } from './netboot-namespaces.ts';
import { APPLIANCE, BIOS, MAC, NetbootRoom, UEFI } from './netboot-room.ts';

const DNSMASQ = '10.77.0.2';
const SERVER = {
  mode: 'server',
  interface: 'eth0',
  pool: { from: '10.77.0.100', to: '10.77.0.110' },
} as const;
const needsRoot = process.getuid?.() !== 0;
describe.skipIf(needsRoot)(
  `DHCP between network namespaces${needsRoot ? ' (skipped: needs root)' : ''}`,
  () => {
    let room: NetbootRoom;
    beforeEach(async () => {
      room = new NetbootRoom();
      await room.open();
    });
    afterEach(() => room.close());

    async function dnsmasq(): Promise<void> {
      await room.network.add('dnsmasq', `${DNSMASQ}/24`);
      const leases = path.join(room.directory, 'dnsmasq.leases');
      const command = [
        'dnsmasq',
        '--no-daemon',
        '--conf-file=/dev/null',
        '--port=0',
        '--no-ping',
        '--user=root',
        '--interface=eth0',
        '--dhcp-range=10.77.0.150,10.77.0.160,1h',
        `--dhcp-leasefile=${leases}`,
      ];
      await room.foreign('dnsmasq', command, 'stderr', /DHCP, IP range/);
    }

    test('proxy: dnsmasq leases the address, we add the boot file; port 4011 and TFTP deliver', async () => {
      await dnsmasq();
      const { first } = await room.appliance({ interface: 'eth0' });
      expect(first).toEqual({ ready: true });

      const report = await room.client({
        class: UEFI,
        server: DNSMASQ,
        others: [APPLIANCE],
        bootServer: APPLIANCE,
      });
      const proxied = report.offers.filter((offer) => offer.server === APPLIANCE);
      expect(proxied).toEqual([
        expect.objectContaining({
          yiaddr: '0.0.0.0',
          file: 'ipxe/ipxe.efi',
          bootFile: 'ipxe/ipxe.efi',
          vendorClass: 'PXEClient',
          vendorOptions: [6, 1, 8, 255],
          from: APPLIANCE,
        }),
      ]);
      expect(report.acks).toEqual([expect.objectContaining({ server: DNSMASQ, from: DNSMASQ })]);
      expect(report.bootServer).toEqual([
        expect.objectContaining({ type: 5, file: 'ipxe/ipxe.efi', from: APPLIANCE }),
      ]);

      const target = path.join(room.directory, 'ipxe.efi');
      await room.network.run('client', [
        'curl',
        '-sS',
        '--tftp-blksize',
        '1468',
        '-o',
        target,
        `tftp://${APPLIANCE}/ipxe/ipxe.efi`,
      ]);
      const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
      expect(digest(await readFile(target))).toBe(digest(await readFile('/usr/lib/ipxe/ipxe.efi')));
    });

    test('proxy: an operating system’s client hears only dnsmasq; iPXE gets its script’s URL', async () => {
      await dnsmasq();
      await room.appliance({ interface: 'eth0' });
      const plain = await room.client({ server: DNSMASQ });
      expect(plain.offers.map((offer) => offer.server)).toEqual([DNSMASQ]);
      const ipxe = await room.client({
        server: DNSMASQ,
        others: [APPLIANCE],
        class: BIOS,
        userClass: 'iPXE',
      });
      expect(ipxe.offers.find((offer) => offer.server === APPLIANCE)?.bootFile).toBe(
        `http://${APPLIANCE}:7077/boot/ipxe/script?mac=${MAC}&arch=bios-x86`,
      );
    });

    test('server beside dnsmasq: the start fails, and says to use proxy mode', async () => {
      await dnsmasq();
      const { first } = await room.appliance(SERVER);
      expect(first.error).toMatchObject({
        code: 'CONFLICT',
        message: expect.stringContaining(`another DHCP server, ${DNSMASQ}, answers on eth0`),
        remedy: expect.stringContaining("mode: 'proxy'"),
      });
    });

    test('server: a dnsmasq that comes later is noticed and named', async () => {
      const { log } = await room.appliance({ ...SERVER, probeSeconds: 0.5 });
      await dnsmasq();
      await room.client({ server: DNSMASQ });
      expect(log.join('\n')).toContain(`another DHCP server, ${DNSMASQ}`);
    });

    test('server: firmware, iPXE and system get one address; it survives a kill -9; a reservation is kept for its machine', async () => {
      const reservations = { '52:54:00:77:00:02': '10.77.0.100' };
      const started = await room.appliance({ ...SERVER, probeSeconds: 0.5 }, reservations);
      const firmware = await room.client({ class: BIOS });
      expect(firmware.acks).toEqual([
        expect.objectContaining({ file: 'ipxe/undionly.kpxe', server: APPLIANCE }),
      ]);
      const address = firmware.acks[0]?.yiaddr;
      expect(address).toMatch(/^10\.77\.0\.1(0[1-9]|10)$/);
      started.child.kill('SIGKILL');
      await once(started.child, 'exit');

      await room.appliance({ ...SERVER, probeSeconds: 0.5 }, reservations);
      const leases = JSON.parse(await readFile(path.join(room.directory, 'state', 'leases.json'), 'utf8'));
      expect(leases.leases).toEqual([expect.objectContaining({ mac: MAC, address, state: 'bound' })]);
      const ipxe = await room.client({ class: BIOS, userClass: 'iPXE' });
      const system = await room.client({});
      expect([ipxe.acks[0]?.yiaddr, system.acks[0]?.yiaddr]).toEqual([address, address]);
      expect(system.acks[0]).toMatchObject({ file: '' });
      const reserved = await room.client({ mac: '52:54:00:77:00:02' });
      expect(reserved.acks[0]).toMatchObject({ yiaddr: '10.77.0.100', hostname: 'web-1' });
    });

    test('server: port 67 taken by another program is PORT_UNAVAILABLE', async () => {
      const first = await room.appliance({ ...SERVER, probeSeconds: 0 });
      const second = await room.appliance({ ...SERVER, probeSeconds: 0 });
      expect(second.first.error).toMatchObject({
        code: 'PORT_UNAVAILABLE',
        message: expect.stringMatching(/port 67 on eth0.*taken/),
      });
      await stopped(first.child);
    });

    const udhcpc = systemClient();
    test.skipIf(udhcpc === undefined)(
      `server: busybox’s udhcpc takes a lease${udhcpc ? '' : ' (skipped: no udhcpc here)'}`,
      async () => {
        await room.appliance({ ...SERVER, router: '10.77.0.254', probeSeconds: 0.5 });
        const script = path.join(room.directory, 'event');
        const events = path.join(room.directory, 'events');
        await writeFile(script, `#!/bin/sh\necho "$1 $ip $subnet $router $lease" >> ${events}\n`);
        await chmod(script, 0o755);
        await room.network.run('client', [
          ...(udhcpc as string[]),
          '-i',
          'eth0',
          '-f',
          '-q',
          '-n',
          '-t',
          '5',
          '-s',
          script,
        ]);
        expect(await readFile(events, 'utf8')).toMatch(
          /^bound 10\.77\.0\.1\d\d 255\.255\.255\.0 10\.77\.0\.254 43200$/m,
        );
      },
    );
  },
);

/** A DHCP client of an operating system, if this machine has one. */
function systemClient(): string[] | undefined {
  if (existsSync('/sbin/udhcpc')) return ['/sbin/udhcpc'];
  try {
    const applets = execFileSync('busybox', ['--list'], { encoding: 'utf8' });
    return applets.split('\n').includes('udhcpc') ? ['busybox', 'udhcpc'] : undefined;
  } catch {
    return undefined;
  }
}
