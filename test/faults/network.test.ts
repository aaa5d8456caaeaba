/** DHCP faults of the whole appliance: `overdub up` in network namespaces of its own. */

import type { PluginStatus } from '@overdub/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { TestNetwork } from '../interop/netboot-namespaces.ts';
import { configure, expectFailure, firstLine, overdub, PLUGINS, start } from './overdub.ts';
import { isRoot, Room, until } from './room.ts';

const PXE = {
  plugin: 'boot-pxe',
  options: { mode: 'server', interface: 'eth0', pool: { from: '10.77.0.100', to: '10.77.0.110' } },
};

/** A program that has UDP port 67. */
const TAKER = [process.execPath, '-e', "require('node:dgram').createSocket('udp4').bind(67)"];

describe.skipIf(!isRoot)(`between network namespaces${isRoot ? '' : ' (skipped: needs root)'}`, () => {
  let room: Room;
  let network: TestNetwork;

  beforeEach(async () => {
    room = await Room.open();
    network = new TestNetwork();
    room.defer(() => network.close());
    await network.open();
    await network.add('app', '10.77.0.1/24');
  });
  afterEach(() => room.close());

  async function listensOn67(name: string): Promise<void> {
    await until(`port 67 is taken in ${name}`, async () =>
      /:67\s/.test(await network.run(name, ['ss', '-lnu'])) ? true : undefined,
    );
  }

  async function up(pxe: object) {
    const config = await configure(room, {
      http: { host: '10.77.0.1', port: 7077 },
      plugins: [...PLUGINS, pxe],
    });
    const args = ['up', '--config', config, '--state', room.path('state')];
    return overdub(room, args, { prefix: network.prefix('app') });
  }

  test('no free port 67: it is named with how to find who has it, and the start ends', async () => {
    const taker = network.start('app', TAKER);
    await listensOn67('app');
    const ended = await up({ ...PXE, options: { ...PXE.options, probeSeconds: 0 } });
    expectFailure(ended, 'PORT_UNAVAILABLE', { says: /port 67 on eth0/, helps: /ss -/ });
    expect(taker.exitCode).toBeNull();
  });

  test('another DHCP server’s answer: it is named, and the start ends with what to do', async () => {
    await network.add('dnsmasq', '10.77.0.2/24');
    network.start('dnsmasq', [
      'dnsmasq',
      '--no-daemon',
      '--conf-file=/dev/null',
      '--port=0',
      '--no-ping',
      '--user=root',
      '--interface=eth0',
      '--dhcp-range=10.77.0.150,10.77.0.160,1h',
      `--dhcp-leasefile=${room.path('leases')}`,
    ]);
    await listensOn67('dnsmasq');
    expectFailure(await up(PXE), 'CONFLICT', {
      says: /another DHCP server, 10\.77\.0\.2, answers on eth0/,
      helps: /mode: 'proxy'/,
    });
  });

  test('an optional boot-pxe that cannot have its port is shown as failed; the rest runs', async () => {
    network.start('app', TAKER);
    await listensOn67('app');
    const pxe = { ...PXE, options: { ...PXE.options, probeSeconds: 0 }, optional: true };
    const config = await configure(room, {
      http: { host: '10.77.0.1', port: 7077 },
      plugins: [...PLUGINS, pxe],
    });
    const prefix = network.prefix('app');
    const child = start(room, ['up', '--config', config, '--state', room.path('state'), '--json'], {
      prefix,
    });
    const { firstToken } = JSON.parse((await firstLine(child)) ?? '{}') as { firstToken?: string };
    const variables = { OVERDUB_URL: 'http://10.77.0.1:7077', OVERDUB_TOKEN: firstToken ?? '' };
    const listed = await overdub(room, ['plugin', 'list', '--running'], { prefix, variables });
    const status = (JSON.parse(listed.out) as PluginStatus[]).find(({ name }) => name === 'boot-pxe');
    expect(status).toMatchObject({ state: 'failed', error: expect.stringMatching(/port 67/) });
  });
});
