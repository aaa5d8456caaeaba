import { writeFile } from 'node:fs/promises';
import type { PluginContext } from '@overdub/core';
import { powerConformance } from '@overdub/core/testing';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import redfish from './index.ts';
import { redfishPower } from './power.ts';
import { PASSWORD, startService, type TestService, USER } from './service.ts';

const signal = (): AbortSignal => AbortSignal.timeout(10_000);

powerConformance('power-redfish', async () => {
  const service = await startService();
  const { url, certificate, passwordFile, machine, orders, close } = service;
  const options = { url, certificate, passwordFile, user: USER };
  return {
    power: redfishPower(options, 'uefi'),
    truth: async () => (machine.power === 'On' ? 'on' : 'off'),
    orders: async () => orders.splice(0),
    unreachable: redfishPower({ ...options, url: 'https://127.0.0.1:1' }, undefined),
    cleanUp: close,
  };
});

describe('the service', () => {
  let service: TestService;
  const power = (more: object = {}, firmware?: 'bios' | 'uefi') => {
    const { url, certificate, passwordFile } = service;
    return redfishPower({ url, certificate, passwordFile, user: USER, ...more }, firmware);
  };
  beforeEach(async () => {
    service = await startService();
  });
  afterEach(() => service.close());

  test('with another certificate than the pinned one gets no password', async () => {
    const other = power({ certificate: 'ab'.repeat(32) });
    await expect(other.state?.(signal())).rejects.toThrow(/certificate is another one.*SHA-256 [0-9a-f]{64}/);
    expect(service.trusted.count).toBe(0);
  });

  test('with a certificate that nobody signed is refused where none is pinned', async () => {
    const { url, passwordFile } = service;
    await expect(
      redfishPower({ url, passwordFile, user: USER }, undefined).state?.(signal()),
    ).rejects.toThrow(/self.signed/i);
    expect(service.trusted.count).toBe(0);
  });

  test('is quoted when it refuses', async () => {
    await writeFile(service.passwordFile, 'wrong');
    await expect(power().state?.(signal())).rejects.toThrow(/401 The credentials are wrong/);
  });

  test('takes a password from the environment', async () => {
    process.env.OVERDUB_TEST_BMC = PASSWORD;
    try {
      const { url, certificate } = service;
      const environment = redfishPower(
        { url, certificate, user: USER, passwordEnv: 'OVERDUB_TEST_BMC' },
        undefined,
      );
      expect(await environment.state?.(signal())).toBe('off');
    } finally {
      delete process.env.OVERDUB_TEST_BMC;
    }
  });

  test.each([
    [['On', 'PowerCycle', 'ForceRestart'], 'PowerCycle'],
    [['On', 'ForceRestart'], 'ForceRestart'],
  ])('that offers %s is cycled by %s', async (types, expected) => {
    Object.assign(service.machine, { resetTypes: types, power: 'On' });
    await power().cycle?.(signal());
    expect(service.orders).toEqual([expected]);
  });

  test('that offers nothing of use says so', async () => {
    service.machine.resetTypes = ['GracefulShutdown'];
    await expect(power().cycle?.(signal())).rejects.toThrow(/none of PowerCycle, ForceRestart/);
  });

  test.each([
    ['uefi', 'UEFI'],
    ['bios', 'Legacy'],
  ] as const)('boots a %s machine from the network once in mode %s', async (firmware, mode) => {
    await power({}, firmware).netboot?.(signal());
    expect(service.boot()).toEqual({
      BootSourceOverrideEnabled: 'Once',
      BootSourceOverrideTarget: 'Pxe',
      BootSourceOverrideMode: mode,
    });
  });

  test('with several systems needs one named; what it names elsewhere is not followed', async () => {
    const [own = ''] = service.machine.systems;
    service.machine.systems = [own, '/redfish/v1/Systems/2'];
    await expect(power().state?.(signal())).rejects.toThrow(/several systems.*Systems\/2/);
    expect(await power({ system: own }).state?.(signal())).toBe('off');
    service.machine.systems = ['https://evil.example/redfish/v1/Systems/1'];
    await expect(power().state?.(signal())).rejects.toThrow(/no path of a Redfish service/);
  });
});

test.each([{}, { passwordFile: '/a', passwordEnv: 'B' }])(
  'a password from %o is CONFIG_INVALID',
  (secret) => {
    const machines = { 'rack3-07': { url: 'https://10.0.9.7', user: USER, ...secret } };
    expect(() => redfish().definition.apply({} as PluginContext, { machines })).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringMatching(/rack3-07/) }),
    );
  },
);
