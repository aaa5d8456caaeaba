/** Debian's dhclient as the client of our DHCPv6, between network namespaces. */

import { existsSync } from 'node:fs';
import { chmod, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { NetbootRoom } from './netboot-room.ts';

const missing = process.getuid?.() !== 0 || !existsSync('/usr/sbin/dhclient');

describe.skipIf(missing)(`DHCPv6${missing ? ' (skipped: needs root and isc-dhcp-client)' : ''}`, () => {
  let room: NetbootRoom;
  beforeEach(async () => {
    room = new NetbootRoom();
    await room.open();
    await room.network.run('app', ['ip', 'address', 'add', 'fd77::1/64', 'dev', 'eth0', 'nodad']);
    for (const name of ['app', 'client'])
      await room.network.run(name, [
        'sh',
        '-c',
        'until ip -6 address show dev eth0 scope link -tentative | grep -q fe80; do sleep 0.1; done',
      ]);
  });
  afterEach(() => room.close());

  /** What dhclient learnt, as it tells its script. */
  async function dhclient(...flags: readonly string[]): Promise<string> {
    const file = (name: string): string => path.join(room.directory, name);
    // iPXE on UEFI x86-64 that can boot by HTTP.
    await writeFile(
      file('conf'),
      'option dhcp6.user-class code 15 = string;\nsend dhcp6.client-arch-type 16;\nsend dhcp6.user-class 00:04:69:50:58:45;\nalso request dhcp6.bootfile-url;\n',
    );
    await writeFile(file('script'), `#!/bin/sh\nenv | grep ^new_ > ${file('learnt')}.$reason\nexit 0\n`);
    await chmod(file('script'), 0o755);
    const files = ['-cf', file('conf'), '-sf', file('script'), '-lf', file('leases'), '-pf', file('pid')];
    await room.network
      .run('client', ['timeout', '8', 'dhclient', '-6', '-1', '-d', ...flags, ...files, 'eth0'])
      .catch((error: { code?: number }) => {
        // It stays with its lease until it is ended.
        if (error.code !== 124) throw error;
      });
    return room.network.run('client', ['sh', '-c', `cat ${file('learnt')}.*`]);
  }

  test('with a pool it leases an address and names the script’s URL', async () => {
    expect(
      (await room.appliance({ interface: 'eth0', ipv6: { pool: { from: 'fd77::100', to: 'fd77::1ff' } } }))
        .first,
    ).toEqual({ ready: true });
    const learnt = await dhclient();
    expect(learnt).toMatch(/^new_ip6_address=fd77::1[0-9a-f]{2}$/m);
    expect(learnt).toMatch(/^new_dhcp6_bootfile_url=http:\/\/\[fd77::1\]:\d+\/boot\/ipxe\/script\?mac=/m);
  });

  test('as a guest it answers an information request', async () => {
    expect((await room.appliance({ interface: 'eth0', ipv6: {} })).first).toEqual({ ready: true });
    const learnt = await dhclient('-S');
    expect(learnt).toMatch(/^new_dhcp6_bootfile_url=http:\/\/\[fd77::1\]:\d+\/boot\/ipxe\/script\?mac=/m);
    expect(learnt).not.toMatch(/^new_ip6_address=/m);
  });
});
