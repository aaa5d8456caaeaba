import { writeFile } from 'node:fs/promises';
import type { PluginContext } from '@overdub/core';
import { powerConformance } from '@overdub/core/testing';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import redfish from './index.ts';
import { redfishPower as powerOf } from './power.ts';
import { PASSWORD, startService, type TestService, USER } from './service.ts';
import { RedfishClient } from './session.ts';

const redfishPower = (service: ConstructorParameters<typeof RedfishClient>[0], firmware?: 'bios' | 'uefi') =>
  powerOf(new RedfishClient(service), firmware);
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

describe('sessions', () => {
  let service: TestService;
  let client: RedfishClient;
  beforeEach(async () => {
    service = await startService();
    const { url, certificate, passwordFile } = service;
    client = new RedfishClient({ url, certificate, passwordFile, user: USER });
  });
  afterEach(() => service.close());
  const state = () => powerOf(client, 'uefi').state?.(signal());

  test('one serves all requests, also those that come at once, and is deleted in the end', async () => {
    expect(await Promise.all([state(), state(), state()])).toEqual(['off', 'off', 'off']);
    await state();
    expect(service.sessions.size).toBe(1);
    expect(new Set(service.proofs)).toEqual(new Set(['session']));
    await client.close(signal());
    expect(service.sessions.size).toBe(0);
    await client.close(signal());
  });

  test('that ran out is opened anew, once', async () => {
    await state();
    service.sessions.clear();
    expect(await Promise.all([state(), state()])).toEqual(['off', 'off']);
    expect(service.sessions.size).toBe(1);
  });

  test('are not asked of a service without them: it gets the password', async () => {
    service.machine.offersSessions = false;
    expect(await state()).toBe('off');
    expect(new Set(service.proofs)).toEqual(new Set(['basic']));
    await client.close(signal());
  });

  test('the plugin deletes them when it stops', async () => {
    const { url, certificate, passwordFile } = service;
    const machines = { 'rack3-07': { url, certificate, passwordFile, user: USER } };
    let tap: ((input: { machine: object }) => ReturnType<typeof powerOf>) | undefined;
    const hooks = { boot: { power: { tap: (handler: typeof tap) => (tap = handler) } } };
    const ctx = { hooks, log: { warn: () => undefined } } as unknown as PluginContext;
    const { definition } = redfish();
    definition.apply(ctx, { machines });
    expect(await tap?.({ machine: { name: 'rack3-07', macs: [] } }).state?.(signal())).toBe('off');
    expect(service.sessions.size).toBe(1);
    await definition.stop?.(ctx, { machines });
    expect(service.sessions.size).toBe(0);
  });
});

describe('facts', () => {
  let service: TestService;
  const facts = () => {
    const { url, certificate, passwordFile } = service;
    return redfishPower({ url, certificate, passwordFile, user: USER }).facts?.(signal());
  };
  beforeEach(async () => {
    service = await startService();
  });
  afterEach(() => service.close());

  test('come from system, manager and chassis', async () => {
    expect(await facts()).toEqual({
      vendor: 'Contoso',
      product: '3500',
      serial: '437XR1138R2',
      uuid: '38947555-7742-3448-3784-823347823834',
      biosVersion: 'P79 v1.45 (12/06/2017)',
      mac: '23:11:8A:33:CF:EA',
      firmwareVersion: '1.45.455b66-rev4',
      watts: 344,
    });
  });

  test('of a service that has only the system are the system’s', async () => {
    service.machine.links = false;
    expect(await facts()).toMatchObject({ serial: '437XR1138R2' });
    expect(await facts()).not.toHaveProperty('mac');
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
