/** The harness itself: what it builds, and that nothing of it stays behind. */

import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { createLab } from '../lab/index.ts';
import { processId } from '../lab/processes.ts';

const namespaces = () => spawnSync('ip', ['netns', 'list']).stdout.toString();
const limit = (seconds: number) => AbortSignal.timeout(seconds * 1000);

describe('lab', () => {
  test('programs run inside its network, the host reaches what listens there', async () => {
    await using lab = await createLab({ name: 'self-net' });
    expect(await lab.exec(['ip', '-br', 'address', 'show', 'br0'])).toContain('10.77.0.1/24');
    const script =
      "require('node:http').createServer((q, s) => s.end('hello ' + q.url)).listen(7077, () => console.log('up'))";
    const server = await lab.start('server', [process.execPath, '-e', script]);
    while (!server.output().includes('up')) await sleep(50);
    expect(await (await lab.fetch('http://lab:7077/there')).text()).toBe('hello /there');
  });

  test('a failing program’s message is in the error', async () => {
    await using lab = await createLab({ name: 'self-fail' });
    await expect(lab.exec(['sh', '-c', 'echo broken pipe dream >&2; exit 3'])).rejects.toThrow(
      /ended with 3: broken pipe dream/,
    );
    await expect(lab.exec(['sleep', '20'], { timeoutMs: 200 })).rejects.toThrow(/took longer than 0.2 s/);
  });

  test('disposing ends every process and removes network and files', async () => {
    const lab = await createLab({ name: 'self-gone' });
    const sleeper = await lab.start('sleeper', ['sleep', '1000']);
    await lab.dnsmasq({ address: '10.77.0.2/24', range: ['10.77.0.100', '10.77.0.110'] });
    expect(namespaces()).toContain('overdub-self-gone.0');
    await lab[Symbol.asyncDispose]();
    expect(sleeper.running).toBe(false);
    expect(namespaces()).not.toContain('overdub-self-gone');
    expect(existsSync(lab.dir)).toBe(false);
  });

  test('what a killed run left is removed by the next of its name, and a living one’s is not', async () => {
    const script = `
      const { createLab } = await import(${JSON.stringify(new URL('../lab/index.ts', import.meta.url).href)});
      const lab = await createLab({ name: 'self-killed' });
      const sleeper = await lab.start('sleeper', ['sleep', '1000']);
      console.log(sleeper.id.pid);
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, [
      '--conditions=overdub-source',
      '--input-type=module',
      '-e',
      script,
    ]);
    const pid = Number(await new Promise((resolve) => child.stdout.once('data', resolve)));
    await expect(createLab({ name: 'self-killed' })).rejects.toThrow(/in use by process/);
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('exit', resolve));
    expect(processId(pid)).toBeDefined();
    await using lab = await createLab({ name: 'self-killed' });
    // Killed, if not yet reaped by whoever inherited it.
    expect(processId(pid)).toBeUndefined();
    expect(await lab.exec(['ip', '-br', 'link'])).toContain('br0');
  });

  test('a machine without a network or a disk is heard on its serial console and switched off', async () => {
    await using lab = await createLab({ name: 'self-machine' });
    const machine = await lab.machine({
      name: 'bare',
      mac: '52:54:00:77:00:01',
      uuid: '5f1d7a52-6d3c-4f7e-9a53-1d0c5e770001',
      firmware: 'uefi',
      memoryMiB: 256,
    });
    await machine.powerOn();
    await machine.waitForConsole(/PXE over IPv4|BdsDxe/, { signal: limit(120) });
    await expect(machine.waitForConsole(/never said/, { signal: limit(1) })).rejects.toThrow(
      /gave up waiting for \/never said\//,
    );
    await machine.reset(limit(10));
    await machine.waitForConsole(/PXE over IPv4|BdsDxe/, { signal: limit(120) });
    await machine.powerOff();
    await expect(machine.waitForConsole(/never said/, { signal: limit(5) })).rejects.toThrow(
      /machine is off/,
    );
  });

  test('a name that could not be a namespace is refused', async () => {
    await expect(createLab({ name: '../x' })).rejects.toThrow(/not a lab name/);
  });
});
