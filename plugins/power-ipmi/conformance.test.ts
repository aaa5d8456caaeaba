import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { PluginContext } from '@overdub/core';
import { powerConformance } from '@overdub/core/testing';
import { describe, expect, test } from 'vitest';
import { ipmiFacts } from './facts.ts';
import ipmi from './index.ts';
import { ipmiPower } from './power.ts';
import { FRU, PASSWORD, startSimulator, USER } from './simulator.ts';

const program = '/usr/bin/ipmitool';
const missing = !existsSync(program) || !existsSync('/usr/bin/ipmi_sim');

describe.skipIf(missing)(
  `against ipmi_sim${missing ? ' (skipped: needs ipmitool and openipmi)' : ''}`,
  () => {
    powerConformance('power-ipmi', async () => {
      const { port, passwordFile, chassis, orders, close } = await startSimulator();
      const controller = { host: '127.0.0.1', port, user: USER, passwordFile, cipherSuite: 3 };
      return {
        power: ipmiPower(controller, { program, firmware: 'uefi' }),
        truth: chassis,
        orders: async () => (await orders()).map((line) => (line === 'set boot pxe' ? 'netboot' : line)),
        unreachable: ipmiPower({ ...controller, port: 1 }, { program, firmware: undefined }),
        cleanUp: close,
      };
    });

    test('says what machine it sits in, as far as it knows', async () => {
      const { port, passwordFile, close } = await startSimulator();
      try {
        const controller = { host: '127.0.0.1', port, user: USER, passwordFile, cipherSuite: 3 };
        const power = ipmiPower(controller, { program, firmware: 'uefi' });
        expect(await power.facts?.(AbortSignal.timeout(60_000))).toMatchObject({
          ...FRU,
          firmwareVersion: expect.stringMatching(/^[0-9.]+$/),
        });
        const nobody = ipmiPower({ ...controller, port: 1 }, { program, firmware: 'uefi' });
        await expect(nobody.facts?.(AbortSignal.timeout(60_000))).rejects.toThrow();
      } finally {
        await close();
      }
    });

    test('a wrong password is refused, and said so; one from the environment is taken', async () => {
      const { port, passwordFile, close } = await startSimulator();
      try {
        const controller = { host: '127.0.0.1', port, user: USER, cipherSuite: 3 };
        await writeFile(passwordFile, 'wrong\n');
        const wrong = ipmiPower({ ...controller, passwordFile }, { program, firmware: undefined });
        await expect(wrong.state?.(AbortSignal.timeout(20_000))).rejects.toThrow(/session|password|RAKP/i);
        process.env.OVERDUB_TEST_BMC = PASSWORD;
        const right = ipmiPower(
          { ...controller, passwordEnv: 'OVERDUB_TEST_BMC' },
          { program, firmware: undefined },
        );
        expect(await right.state?.(AbortSignal.timeout(20_000))).toBe('off');
      } finally {
        delete process.env.OVERDUB_TEST_BMC;
        await close();
      }
    });
  },
);

test('no command line ever holds the password, and UEFI machines are told UEFI', async () => {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'overdub-ipmi-'));
  try {
    const stand = path.join(directory, 'ipmitool');
    await writeFile(stand, `#!/bin/sh\necho "$*" >> ${directory}/lines\necho "Chassis Power is on"\n`);
    await chmod(stand, 0o755);
    process.env.OVERDUB_TEST_BMC = PASSWORD;
    const controller = { host: '10.0.9.7', user: USER, passwordEnv: 'OVERDUB_TEST_BMC' };
    for (const firmware of ['uefi', 'bios'] as const) {
      const power = ipmiPower(controller, { program: stand, firmware });
      await power.netboot?.(AbortSignal.timeout(5000));
      expect(await power.state?.(AbortSignal.timeout(5000))).toBe('on');
    }
    const lines = await readFile(path.join(directory, 'lines'), 'utf8');
    expect(lines).not.toContain(PASSWORD);
    expect(lines.match(/bootdev pxe.*/g)).toEqual(['bootdev pxe options=efiboot', 'bootdev pxe']);
  } finally {
    delete process.env.OVERDUB_TEST_BMC;
    await rm(directory, { recursive: true, force: true });
  }
});

test.each([{}, { passwordFile: '/a', passwordEnv: 'B' }])(
  'a password from %o is CONFIG_INVALID',
  (secret) => {
    const machines = { 'rack3-07': { host: '10.0.9.7', user: USER, ...secret } };
    expect(() => ipmi().definition.apply({} as PluginContext, { machines })).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringMatching(/rack3-07/) }),
    );
  },
);

test.each([
  ['DCMI', { dcmi: ' Instantaneous power reading:                   344 Watts\n' }, { watts: 344 }],
  [
    'a LAN channel',
    { lan: 'Set in Progress : Set Complete\nMAC Address             : 52:54:00:aa:bb:cc\n' },
    { mac: '52:54:00:aa:bb:cc' },
  ],
  [
    'a board alone',
    { fru: ' Board Mfg             : Super\n Board Serial          : S1\n Board Product : \n' },
    { vendor: 'Super', serial: 'S1' },
  ],
  [
    'a system GUID',
    { mc: 'System GUID  : 38947555-7742-3448-3784-823347823834\n' },
    { uuid: '38947555-7742-3448-3784-823347823834' },
  ],
])('facts of a controller with %s', async (_, printed: Record<string, string>, facts) => {
  const ask = async (...[first = '', second]: readonly string[]): Promise<string> => {
    if (second === 'info') return 'Firmware Revision         : 1.45\n';
    if (printed[first] === undefined) throw new Error('Invalid command');
    return printed[first];
  };
  expect(await ipmiFacts(ask, AbortSignal.timeout(1000))).toEqual({ firmwareVersion: '1.45', ...facts });
});
