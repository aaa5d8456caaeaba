import type {
  AdmissionDecision,
  HookTaps,
  Identification,
  Machine,
  PluginContext,
  Sighting,
} from '@overdub/core';
import { Check } from 'typebox/value';
import { describe, expect, test } from 'vitest';
import discovery from './index.ts';
import { StaticOptions } from './options.ts';

const [A, B, C] = ['52:54:00:00:00:0a', '52:54:00:00:00:0b', '52:54:00:00:00:0c'] as const;
const OPTIONS: StaticOptions = {
  machines: [
    { name: 'one', macs: ['52-54-00-00-00-0A', B], labels: { rack: '1' } },
    { name: 'two', macs: [C], admission: 'reject' },
  ],
};
const withMacs = (...macs: string[]): Machine => ({ macs }) as unknown as Machine;
const seen = (mac: string): Sighting => ({ mac, via: 'boot' });

interface Taps {
  identify(sighting: Sighting): Identification | undefined;
  admit(input: { sighting: Sighting; machine: Machine }): AdmissionDecision | undefined;
}

function applied(options: StaticOptions) {
  const taps: Partial<Taps> = {};
  const tapTo = (name: keyof Taps) => ({
    tap: (handler: never) => {
      taps[name] = handler;
    },
  });
  const ctx = {
    hooks: { discovery: { identify: tapTo('identify'), admit: tapTo('admit') } } as unknown as HookTaps,
  } as unknown as PluginContext;
  const { definition } = discovery(options);
  definition.apply(ctx, options);
  return { definition, taps: taps as Taps };
}

test('the plugin is named like its folder', () => {
  expect(applied(OPTIONS).definition.name).toBe('discovery-static');
});

describe('identify', () => {
  test.each([A, B])('%s is declared with all its addresses and labels', (mac) => {
    const declare = { name: 'one', macs: [A, B], labels: { rack: '1' } };
    expect(applied(OPTIONS).taps.identify(seen(mac))).toEqual({ declare });
  });
  test('others are left to the next plugin', () => {
    expect(applied(OPTIONS).taps.identify(seen('02:00:00:00:00:01'))).toBeUndefined();
  });
});

describe('admit', () => {
  test.each([
    [A, 'accepted', /as one/],
    [C, 'rejected', /as two/],
  ])('%s is %s', (mac, admission, reason) => {
    const decision = applied(OPTIONS).taps.admit({ sighting: seen(mac), machine: withMacs() });
    expect(decision).toMatchObject({ admission, reason: expect.stringMatching(reason) });
  });
  test('a machine seen through another of its interfaces is still the declared one', () => {
    const input = { sighting: seen('02:00:00:00:00:01'), machine: withMacs('02:00:00:00:00:01', A) };
    expect(applied(OPTIONS).taps.admit(input)).toMatchObject({ admission: 'accepted' });
  });
  test('others are left to the next plugin', () => {
    const input = { sighting: seen('02:00:00:00:00:01'), machine: withMacs() };
    expect(applied(OPTIONS).taps.admit(input)).toBeUndefined();
  });
});

describe('options', () => {
  test.each<[string, unknown]>([
    ['no machines', {}],
    ['an unknown key', { machines: [], machine: [] }],
    ['a machine without addresses', { machines: [{ name: 'a', macs: [] }] }],
    ['no MAC address', { machines: [{ name: 'a', macs: ['x'] }] }],
    ['a name that is no host label', { machines: [{ name: 'A B', macs: [A] }] }],
  ])('%s is refused by the schema', (_, options) => expect(Check(StaticOptions, options)).toBe(false));

  test.each<[string, StaticOptions, RegExp]>([
    [
      'one name twice',
      {
        machines: [
          { name: 'a', macs: [A] },
          { name: 'a', macs: [B] },
        ],
      },
      /two machines are called a/,
    ],
    [
      'one address twice',
      {
        machines: [
          { name: 'a', macs: [A] },
          { name: 'b', macs: [A] },
        ],
      },
      /a and b both have/,
    ],
    ['the all-zero address', { machines: [{ name: 'a', macs: ['00:00:00:00:00:00'] }] }, /no MAC address/],
  ])('%s fails before anything starts', (_, options, message) => {
    expect(() => applied(options)).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringMatching(message) }),
    );
  });
});
