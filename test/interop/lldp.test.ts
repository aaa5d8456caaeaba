/** Debian's lldpd as the switch at the other end of the cable. */

import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { stopped, TestNetwork } from './netboot-namespaces.ts';

const missing = process.getuid?.() !== 0 || !existsSync('/usr/sbin/lldpd');

describe.skipIf(missing)(`LLDP over a veth${missing ? ' (skipped: needs root and lldpd)' : ''}`, () => {
  const network = new TestNetwork();
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(path.join(os.tmpdir(), 'overdub-lldp-'));
    // lldpd gives up its privilege, and must still reach its socket.
    await chmod(directory, 0o755);
    await network.open();
    await network.cable('machine', 'lldpd');
  });
  afterEach(async () => {
    await network.close();
    await rm(directory, { recursive: true, force: true });
  });

  test('lldpd’s switch and port are heard, what it changes too, and its leave', async () => {
    const said = listen();
    expect(await said()).toEqual({ listening: true });
    expect(await said()).toEqual({ deaf: 'missing0' });
    const socket = path.join(directory, 'lldpd.sock');
    const lldpd = network.start('lldpd', ['lldpd', '-d', '-I', 'eth0', '-u', socket, '-S', 'test switch']);
    const first = await said();
    expect(first).toEqual({
      device: 'eth0',
      neighbour: {
        chassisId: expect.stringMatching(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/),
        portId: expect.stringMatching(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/),
        ttlSeconds: 120,
        systemName: os.hostname(),
        portDescription: 'eth0',
      },
    });
    // It would read further commands from its standard input, to the end.
    const quiet = ['sh', '-c', 'exec lldpcli -u "$0" "$@" < /dev/null', socket];
    const cli = (words: string) => network.run('lldpd', [...quiet, ...words.split(' ')]);
    await cli('configure system hostname rack3-sw1');
    await cli('configure ports eth0 lldp portidsubtype local Gi1/0/7 description rack3-07');
    await cli('update');
    const heard = [await said()];
    while (!JSON.stringify(heard.at(-1)).includes('rack3-07')) heard.push(await said());
    expect(heard.at(-1)).toMatchObject({
      neighbour: { systemName: 'rack3-sw1', portId: 'Gi1/0/7', portDescription: 'rack3-07' },
    });
    await stopped(lldpd);
    expect(await said()).toEqual({ device: 'eth0', neighbour: null });
  });

  /** Starts our listener; each call gives the next thing it says. */
  function listen(): () => Promise<unknown> {
    const program = fileURLToPath(new URL('lldp-listener.ts', import.meta.url));
    const child = network.start('machine', [process.execPath, '--conditions=overdub-source', program]);
    const lines = createInterface({ input: child.stdout as Readable })[Symbol.asyncIterator]();
    return async () => {
      const { value, done } = await lines.next();
      if (done === true) throw new Error('the listener has ended');
      return JSON.parse(value) as unknown;
    };
  }
});
