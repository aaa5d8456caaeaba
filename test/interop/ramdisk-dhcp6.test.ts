/** The ramdisk's DHCPv6 client between network namespaces: our own DHCPv6 as its server, and dnsmasq. */

import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { stopped } from './netboot-namespaces.ts';
import { NetbootRoom } from './netboot-room.ts';

const CLIENT = fileURLToPath(new URL('../../plugins/agent/ramdisk/files/dhcp6.mjs', import.meta.url));
const missing = process.getuid?.() !== 0 || !existsSync('/usr/sbin/dnsmasq');

describe.skipIf(missing)(`the ramdisk’s DHCPv6${missing ? ' (skipped: needs root and dnsmasq)' : ''}`, () => {
  let room: NetbootRoom;
  let said: string;
  beforeEach(async () => {
    room = new NetbootRoom();
    said = '';
    await room.open();
    await room.network.run('app', ['ip', 'address', 'add', 'fd77::1/64', 'dev', 'eth0', 'nodad']);
  });
  afterEach(() => room.close());

  /** As the ramdisk's `init` starts it, but for the NIC's name: veth is no hardware. */
  function client(): void {
    const child = room.network.start('client', [process.execPath, CLIENT, 'eth0']);
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text) => (said += String(text)));
  }
  const has = async (what: RegExp, read: () => string | Promise<string>): Promise<RegExpExecArray> => {
    for (const until = Date.now() + 60_000; ; await sleep(50)) {
      const found = what.exec(await read());
      if (found !== null) return found;
      if (Date.now() > until) throw new Error(`never came: ${what}; it said:\n${said}`);
    }
  };
  const addresses = () =>
    room.network.run('client', ['ip', '-6', '-o', 'address', 'show', 'scope', 'global']);
  const appliance = async (pool: object, leaseSeconds: number): Promise<ChildProcess> => {
    const { child, first } = await room.appliance({ interface: 'eth0', ipv6: { pool, leaseSeconds } });
    expect(first).toEqual({ ready: true });
    return child;
  };

  test('leases an address that the kernel forgets with the lease, and keeps it by renewals', async () => {
    client();
    await appliance({ from: 'fd77::100', to: 'fd77::1ff' }, 9);
    const [, address] = await has(/^overdub: eth0 has (fd77::1[0-9a-f]{2}) by DHCPv6$/m, () => said);
    const valid = new RegExp(`inet6 ${address}/128 .*valid_lft ([0-9])sec preferred_lft [0-9]sec`);
    expect(Number((await has(valid, addresses))[1])).toBeLessThanOrEqual(9);
    await sleep(10_000);
    expect(await addresses()).toMatch(valid);
    expect(said.trim().split('\n')).toHaveLength(1);
  });

  test('asks anew where nobody renews its address, and takes another one', async () => {
    client();
    const server = await appliance({ from: 'fd77::100', to: 'fd77::100' }, 4);
    await has(/eth0 has fd77::100 by DHCPv6/, () => said);
    await stopped(server);
    await has(/eth0 has lost fd77::100: no DHCPv6 server confirms it any more/, () => said);
    await appliance({ from: 'fd77::200', to: 'fd77::200' }, 4);
    await has(/eth0 has fd77::200 by DHCPv6/, () => said);
    expect(await addresses()).not.toContain('fd77::100');
  });

  test('moves to the address that a restarted server gives it instead of its own', async () => {
    client();
    await stopped(
      await appliance({ from: 'fd77::100', to: 'fd77::100' }, 20).then(async (server) => {
        await has(/eth0 has fd77::100 by DHCPv6/, () => said);
        return server;
      }),
    );
    await appliance({ from: 'fd77::200', to: 'fd77::200' }, 20);
    await has(/eth0 has moved from fd77::100 to fd77::200/, () => said);
    await has(/^(?!.*fd77::100).*fd77::200/s, addresses);
  });

  test('declines an address that somebody else uses', async () => {
    await room.network.add('other');
    await room.network.run('other', ['ip', 'address', 'add', 'fd77::100/64', 'dev', 'eth0', 'nodad']);
    client();
    await appliance({ from: 'fd77::100', to: 'fd77::100' }, 60);
    await has(/eth0 was given fd77::100, which somebody else uses; asking for another/, () => said);
    await has(/^(?!.*fd77::100)/s, addresses);
    // Declined, it is nobody's for an hour: the pool is used up.
    await sleep(3000);
    expect(said).not.toMatch(/eth0 has fd77::100/);
    expect(said.match(/was given/g)).toHaveLength(1);
  });

  test('takes an address from dnsmasq', async () => {
    await room.network.add('dnsmasq');
    await room.network.run('dnsmasq', ['ip', 'address', 'add', 'fd77::2/64', 'dev', 'eth0', 'nodad']);
    client();
    await room.foreign(
      'dnsmasq',
      [
        ...[
          'dnsmasq',
          '--keep-in-foreground',
          '--conf-file=/dev/null',
          '--port=0',
          '--user=root',
          '--log-facility=-',
        ],
        ...['--interface=eth0', '--bind-interfaces', '--dhcp-range=fd77::300,fd77::3ff,64,10m'],
        `--dhcp-leasefile=${path.join(room.directory, 'leases')}`,
      ],
      'stderr',
      /DHCPv6/,
    );
    await has(/eth0 has fd77::3[0-9a-f]{2} by DHCPv6/, () => said);
    expect(await addresses()).toMatch(/inet6 fd77::3[0-9a-f]{2}\/128 .*valid_lft (600|59\d)sec/);
  });
});
