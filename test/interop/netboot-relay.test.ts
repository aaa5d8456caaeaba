/** DHCP through relays that we did not write, on several networks, with addresses that are taken. Needs root. */

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { APPLIANCE, BIOS, MAC, NetbootRoom, UEFI } from './netboot-room.ts';

const NEAR = '10.77.0.9';
const RELAY = '10.88.0.9';
const SERVER = {
  mode: 'server',
  interface: 'eth0',
  pool: { from: '10.77.0.100', to: '10.77.0.110' },
  probeSeconds: 0.5,
  subnets: [{ network: '10.88.0.0/24', pool: { from: '10.88.0.50', to: '10.88.0.53' } }],
} as const;
const DHCRELAY = ['dhcrelay', '-4', '-d', '-a', '-m', 'discard', '-pf', '/dev/null'];
const relays: Readonly<Record<string, readonly [string[], RegExp]>> = {
  'isc-dhcp-relay, which adds option 82 and insists on it': [
    [...DHCRELAY, '-iu', 'eth0', '-id', 'eth1', APPLIANCE],
    /Sending on +Socket/,
  ],
  dnsmasq: [
    [
      ...['dnsmasq', '--no-daemon', '--conf-file=/dev/null', '--port=0', '--user=root'],
      ...['--log-dhcp', `--dhcp-relay=${RELAY},${APPLIANCE}`],
    ],
    /DHCP relay from/,
  ],
};

const needsRoot = process.getuid?.() !== 0;
describe.skipIf(needsRoot)(
  `relays and conflicts between network namespaces${needsRoot ? ' (skipped: needs root)' : ''}`,
  () => {
    let room: NetbootRoom;
    beforeEach(async () => {
      room = new NetbootRoom();
      await room.open();
    });
    afterEach(() => room.close());

    /** A router with a leg on our network and one on the client `far`’s. */
    async function router(): Promise<void> {
      await room.network.add('relay', `${NEAR}/24`);
      await room.network.add('relay', `${RELAY}/24`, { device: 'eth1', segment: 'br1' });
      await room.network.run('relay', ['sysctl', '-qw', 'net.ipv4.ip_forward=1']);
      await room.network.add('far', undefined, { segment: 'br1' });
      await room.network.run('app', ['ip', 'route', 'add', '10.88.0.0/24', 'via', NEAR]);
    }

    async function curl(where: string, name: string): Promise<string> {
      const target = path.join(room.directory, 'fetched');
      const url = `tftp://${APPLIANCE}/${name}`;
      await room.network.run(where, ['curl', '-sS', '--tftp-blksize', '1428', '-o', target, url]);
      return createHash('sha256')
        .update(await readFile(target))
        .digest('hex');
    }

    test.each(Object.entries(relays))('server behind %s: address, boot file and TFTP', async (_, relay) => {
      await router();
      await room.foreign('relay', relay[0], 'stderr', relay[1]);
      expect((await room.appliance(SERVER)).first).toEqual({ ready: true });

      const mac = await macOf('far');
      for (const broadcast of [true, false]) {
        const { acks } = await room.client({ class: UEFI, mac, broadcast }, 'far');
        // A unicast answer reaches only who has the address: the second round, by its own first lease.
        expect(acks).toEqual([
          expect.objectContaining({
            server: APPLIANCE,
            yiaddr: expect.stringMatching(/^10\.88\.0\.5[0-3]$/),
            file: 'ipxe/ipxe.efi',
            router: RELAY,
          }),
        ]);
      }
      await room.network.run('far', ['ip', 'route', 'add', 'default', 'via', RELAY]);
      const original = await readFile('/usr/lib/ipxe/ipxe.efi');
      expect(await curl('far', 'ipxe/ipxe.efi')).toBe(createHash('sha256').update(original).digest('hex'));
      const near = await room.client({ class: BIOS, mac: '52:54:00:77:00:05' });
      expect(near.acks[0]?.yiaddr).toMatch(/^10\.77\.0\.1/);
    });

    test('proxy behind a relay that asks two servers: dnsmasq leases, we name the boot file', async () => {
      const dhcp = '10.77.0.2';
      await router();
      await room.network.add('dnsmasq', `${dhcp}/24`);
      await room.network.run('dnsmasq', ['ip', 'route', 'add', '10.88.0.0/24', 'via', NEAR]);
      const command = [
        ...['dnsmasq', '--no-daemon', '--conf-file=/dev/null', '--port=0', '--no-ping', '--user=root'],
        ...['--dhcp-range=10.88.0.150,10.88.0.160,1h', `--dhcp-leasefile=${room.directory}/leases`],
      ];
      await room.foreign('dnsmasq', command, 'stderr', /DHCP, IP range/);
      const both = [...DHCRELAY, '-iu', 'eth0', '-id', 'eth1', dhcp, APPLIANCE];
      await room.foreign('relay', both, 'stderr', /Sending on +Socket/);
      await room.appliance({ interface: 'eth0' });
      const { offers } = await room.client({ class: BIOS, server: dhcp, others: [APPLIANCE] }, 'far');
      expect(offers.find((offer) => offer.server === APPLIANCE)).toMatchObject({
        yiaddr: '0.0.0.0',
        file: 'ipxe/undionly.kpxe',
      });
      expect(offers.find((offer) => offer.server === dhcp)?.yiaddr).toMatch(/^10\.88\.0\.1/);
    });

    test('an address that somebody uses already is refused, set aside, and named in the log', async () => {
      await room.network.add('squatter', '10.77.0.100/24');
      const one = { ...SERVER, pool: { from: '10.77.0.100', to: '10.77.0.101' }, subnets: [] };
      const { log } = await room.appliance(one);
      // Two machines want the pool of two: one of them was offered the squatter's address first.
      const first = await room.client({});
      const second = await room.client({ mac: '52:54:00:77:00:02' });
      const leased = [first, second].flatMap(({ acks }) => acks.map(({ yiaddr }) => yiaddr));
      expect(leased).toEqual(['10.77.0.101']);
      expect(log.join('\n')).toMatch(
        /"address":"10\.77\.0\.100".*in use by something|in use by something.*10\.77\.0\.100/,
      );
    });

    test('behind a relay such an address is found by ICMP echo', async () => {
      await router();
      await room.network.add('squatter', '10.88.0.50/24', { segment: 'br1' });
      await room.network.run('squatter', ['ip', 'route', 'add', 'default', 'via', RELAY]);
      await room.foreign(
        'relay',
        [...DHCRELAY, '-iu', 'eth0', '-id', 'eth1', APPLIANCE],
        'stderr',
        /Sending/,
      );
      const pool = { from: '10.88.0.50', to: '10.88.0.50' };
      const { log } = await room.appliance({ ...SERVER, subnets: [{ network: '10.88.0.0/24', pool }] });
      const report = await room.client({}, 'far');
      expect(report.offers.map(({ yiaddr }) => yiaddr)).toEqual(['10.88.0.50']);
      expect(report.acks).toEqual([]);
      expect(log.join('\n')).toMatch(/in use by something/);
    });

    test('two interfaces, each with its own network, and one lease book', async () => {
      await room.network.add('app', '10.99.0.1/24', { device: 'eth1', segment: 'br2' });
      await room.network.add('other', undefined, { segment: 'br2' });
      const pool = { from: '10.99.0.20', to: '10.99.0.29' };
      const { first } = await room.appliance({
        ...SERVER,
        interface: ['eth0', 'eth1'],
        subnets: [{ network: '10.99.0.0/24', pool }],
      });
      expect(first).toEqual({ ready: true });
      const here = await room.client({ class: BIOS });
      const there = await room.client(
        { class: UEFI, mac: '52:54:00:77:00:02', server: '10.99.0.1' },
        'other',
      );
      expect(here.acks[0]).toMatchObject({ server: APPLIANCE, yiaddr: expect.stringMatching(/^10\.77/) });
      expect(there.acks[0]).toMatchObject({
        server: '10.99.0.1',
        from: '10.99.0.1',
        yiaddr: expect.stringMatching(/^10\.99\.0\.2/),
        file: 'ipxe/ipxe.efi',
      });
      const log = await readFile(path.join(room.directory, 'state', 'leases.log'), 'utf8');
      expect(log.split('\n').filter((line) => line.startsWith('{'))).toHaveLength(2);
    });

    test('the quirk `unicast`: only the machine itself hears the answer, whatever its broadcast flag', async () => {
      await room.network.add('witness');
      const listen = `const s = require('node:dgram').createSocket('udp4');
        s.on('message', (bytes) => console.log(bytes.subarray(28, 34).toString('hex')));
        s.bind(68, () => console.log('listening'));`;
      const witness = await room.foreign('witness', [process.execPath, '-e', listen], 'stdout', /listening/);
      const heard: string[] = [];
      witness.stdout?.on('data', (text) => heard.push(...String(text).trim().split('\n')));
      const mac = await macOf('client');
      // Ordinary sockets take a unicast only under an address they have; firmware reads frames.
      for (const address of ['10.77.0.100/24', '10.77.0.101/24']) {
        await room.network.run('client', ['ip', 'address', 'add', address, 'dev', 'eth0']);
      }
      await room.appliance({
        ...SERVER,
        pool: { from: '10.77.0.100', to: '10.77.0.101' },
        subnets: [],
        quirks: { [mac]: { unicast: true } },
      });
      const { acks } = await room.client({ class: UEFI, mac });
      expect(acks).toEqual([expect.objectContaining({ server: APPLIANCE, file: 'ipxe/ipxe.efi' })]);
      expect(heard).toEqual([]);
      await room.client({ class: UEFI, mac: MAC, waitMs: 300 });
      expect(heard).toContain(MAC.replaceAll(':', ''));
    });

    async function macOf(name: string): Promise<string> {
      return (await room.network.run(name, ['cat', '/sys/class/net/eth0/address'])).trim();
    }
  },
);
