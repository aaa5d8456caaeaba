import type { Machine, MachineFacts, Sighting } from '@overdub/core';
import { Check } from 'typebox/value';
import { describe, expect, test } from 'vitest';
import { decideAdmission } from './admit.ts';
import { type AdmissionRule, checkRules, DiscoveryOptions } from './options.ts';

const FACTS: MachineFacts = {
  firmware: 'uefi',
  arch: 'x86_64',
  cpu: { model: 'c', cores: 4 },
  memoryBytes: 64 * 1024 ** 3,
  disks: [
    { name: 'sda', bytes: 500e9, sectorBytes: 512, transport: 'sata', removable: false },
    { name: 'sdb', bytes: 4000e9, sectorBytes: 512, transport: 'usb', removable: true },
  ],
  nics: [],
  dmi: { vendor: 'Dell Inc. ', product: 'PowerEdge R640' },
};
const BOOT: Sighting = { mac: '52:54:00:12:34:56', via: 'boot', seenOn: '10.2.7.9' };
const AGENT: Sighting = { ...BOOT, via: 'agent', facts: FACTS };
const LABELS = { rack: '3', row: 'b' };

const admission = (match: Omit<AdmissionRule, 'admission'>, sighting: Sighting = AGENT): string =>
  decideAdmission(
    sighting,
    { labels: LABELS },
    {
      admission: 'reject',
      rules: [{ ...match, admission: 'accept' }],
    },
  ).admission;

test.each<[Omit<AdmissionRule, 'admission'>, 'accepted' | 'rejected']>([
  [{ labels: { rack: '3' } }, 'accepted'],
  [{ labels: { rack: '3', row: 'b' } }, 'accepted'],
  [{ labels: { rack: '3', row: 'a' } }, 'rejected'],
  [{ labels: { hall: '1' } }, 'rejected'],
  [{ facts: { vendor: 'DELL INC.' } }, 'accepted'],
  [{ facts: { vendor: 'Dell' } }, 'rejected'],
  [{ facts: { product: 'poweredge r640', arch: 'x86_64', firmware: 'uefi' } }, 'accepted'],
  [{ facts: { arch: 'arm64' } }, 'rejected'],
  [{ facts: { firmware: 'bios' } }, 'rejected'],
  [{ facts: { memoryGiB: 64 } }, 'accepted'],
  [{ facts: { memoryGiB: 65 } }, 'rejected'],
  [{ facts: { diskGB: 500 } }, 'accepted'],
  // The stick in the front is no disk to install on.
  [{ facts: { diskGB: 501 } }, 'rejected'],
  [{ subnet: '10.2.0.0/16' }, 'accepted'],
  [{ subnet: '10.2.7.9/32' }, 'accepted'],
  [{ subnet: '0.0.0.0/0' }, 'accepted'],
  [{ subnet: '10.2.6.0/24' }, 'rejected'],
  [{ subnet: '10.2.7.0/24', mac: '02' }, 'rejected'],
  [{ mac: '52:54:00', labels: { rack: '3' }, facts: { memoryGiB: 1 } }, 'accepted'],
  [{ mac: '52:54:01', facts: { memoryGiB: 1 } }, 'rejected'],
])('a rule for %j: %s', (match, expected) => expect(admission(match)).toBe(expected));

test('while facts are not known, a rule about them holds the machine, whatever comes after it', () => {
  const options: DiscoveryOptions = {
    admission: 'accept',
    rules: [{ facts: { vendor: 'Shady Ltd' }, admission: 'reject' }],
  };
  expect(decideAdmission(BOOT, { labels: {} }, options)).toEqual({
    admission: 'held',
    reason: 'waits for its agent: the rule for vendor Shady Ltd needs facts',
  });
  expect(decideAdmission(AGENT, { labels: {} }, options).admission).toBe('accepted');
});

describe('a rule about what the management controller says', () => {
  const rules: AdmissionRule[] = [
    { controller: { vendor: 'contoso', serial: '437XR1138R2' }, admission: 'accept' },
    { mac: '52:54:00', admission: 'reject' },
  ];
  const at = '2026-01-01T00:00:00.000Z';
  const decided = (controller?: Machine['controller'], sighting = AGENT) =>
    decideAdmission(sighting, { labels: {}, ...(controller && { controller }) }, { rules });

  test('holds the machine until it has been asked, whatever comes after it', () =>
    expect(decided()).toEqual({
      admission: 'held',
      reason:
        'waits for its management controller: the rule for controller’s vendor contoso and controller’s serial 437XR1138R2 needs facts',
    }));

  test('fits when it says all of it, in any case', () =>
    expect(decided({ vendor: 'Contoso ', serial: '437xr1138r2', at })).toMatchObject({
      admission: 'accepted',
      reason: expect.stringMatching(/^the rule for controller’s vendor contoso/),
    }));

  test.each([{ at }, { vendor: 'Contoso', at }, { vendor: 'Contoso', serial: '438', at }])(
    '%j does not fit: the next rule has its turn',
    (said) => expect(decided(said).admission).toBe('rejected'),
  );

  test('compares addresses however they are written', () => {
    const mac = [{ controller: { mac: 'AA-BB-CC-00-00-01' }, admission: 'accept' as const }];
    const known = { labels: {}, controller: { mac: 'aa:bb:cc:00:00:01', at } };
    expect(decideAdmission(AGENT, known, { rules: mac }).admission).toBe('accepted');
  });

  test('and about what the agent says waits for both', () => {
    const both = [{ facts: { memoryGiB: 1 }, controller: { serial: '1' }, admission: 'accept' as const }];
    const reason = (sighting: Sighting, controller?: Machine['controller']) =>
      decideAdmission(sighting, { labels: {}, ...(controller && { controller }) }, { rules: both }).reason;
    expect(reason(BOOT, { serial: '1', at })).toMatch(/^waits for its agent/);
    expect(reason(AGENT)).toMatch(/^waits for its management controller/);
    expect(reason(AGENT, { serial: '1', at })).toMatch(/^the rule for memoryGiB 1 and controller’s serial 1/);
  });
});

test('a rule about facts whose other conditions do not fit concerns nobody', () => {
  expect(admission({ mac: 'aa:bb:cc', facts: { memoryGiB: 1 } }, BOOT)).toBe('rejected');
});

test('the reason names every condition of the rule', () => {
  const rules: AdmissionRule[] = [
    {
      mac: '52:54:00',
      subnet: '10.2.0.0/16',
      labels: { rack: '3' },
      facts: { memoryGiB: 16 },
      admission: 'accept',
    },
  ];
  expect(decideAdmission(AGENT, { labels: LABELS }, { rules }).reason).toBe(
    'the rule for MAC 52:54:00 and subnet 10.2.0.0/16 and rack 3 and memoryGiB 16',
  );
});

test.each([
  [{ admission: 'accept' }],
  [{ labels: {}, admission: 'accept' }],
  [{ facts: {}, admission: 'accept' }],
  [{ facts: { memory: 5 }, admission: 'accept' }],
  [{ facts: { memoryGiB: 0 }, admission: 'accept' }],
  [{ facts: { arch: 'sparc' }, admission: 'accept' }],
  [{ controller: {}, admission: 'accept' }],
  [{ controller: { watts: '3' }, admission: 'accept' }],
  [{ controller: { mac: 'aa:bb' }, admission: 'accept' }],
  [{ controller: { uuid: 'x' }, admission: 'accept' }],
])('%j is no rule', (rule) => expect(Check(DiscoveryOptions, { rules: [rule] })).toBe(false));

test('a machine of which nobody knows where it was seen is in no subnet', () => {
  const { seenOn: _unknown, ...nowhere } = BOOT;
  expect(admission({ subnet: '0.0.0.0/0' }, nowhere)).toBe('rejected');
  expect(admission({ subnet: '0.0.0.0/0' }, { ...BOOT, seenOn: 'fe80::1' })).toBe('rejected');
});

test('labels come from every rule that fits up to the one that decides; of two that set one, the first counts', () => {
  const rules: AdmissionRule[] = [
    { subnet: '10.2.0.0/16', setLabels: { site: 'north', rack: '7' } },
    { subnet: '10.3.0.0/16', setLabels: { site: 'south' } },
    { facts: { vendor: 'Dell Inc.' }, setLabels: { maker: 'dell' } },
    { labels: { site: 'north' }, setLabels: { site: 'x', pool: 'a' }, admission: 'accept' },
    { mac: '52', setLabels: { late: 'yes' } },
  ];
  expect(decideAdmission(AGENT, { labels: {} }, { rules })).toEqual({
    admission: 'accepted',
    reason: 'the rule for site north',
    labels: { site: 'north', rack: '7', maker: 'dell', pool: 'a' },
  });
  // Facts are not there yet: what only labels by them holds nobody up.
  expect(decideAdmission(BOOT, { labels: {} }, { rules })).toMatchObject({
    admission: 'accepted',
    labels: { site: 'north', rack: '7', pool: 'a' },
  });
});

test('what the record says wins over what a rule just set, also for the rules behind it', () => {
  const rules: AdmissionRule[] = [
    { mac: '52', setLabels: { rack: '9' } },
    { labels: { rack: '9' }, admission: 'reject' },
  ];
  expect(decideAdmission(BOOT, { labels: LABELS }, { rules }).admission).toBe('held');
  expect(decideAdmission(BOOT, { labels: {} }, { rules }).admission).toBe('rejected');
});

test.each<[AdmissionRule, RegExp]>([
  [
    { subnet: '10.2.0.5/24', admission: 'accept' },
    /10\.2\.0\.5\/24 of rule 1 has bits of a host; its network is 10\.2\.0\.0\/24/,
  ],
  [{ subnet: '10.2.0.0', admission: 'accept' }, /"10\.2\.0\.0" of rule 1 is no IPv4 network/],
  [{ subnet: '10.2.0.0/33', admission: 'accept' }, /is no IPv4 network/],
  [{ subnet: '10.2.0.256/32', admission: 'accept' }, /is no IPv4 network/],
  [{ subnet: 'fd00::/8', admission: 'accept' }, /is no IPv4 network/],
  [{ subnet: '10.2.0.0/', admission: 'accept' }, /is no IPv4 network/],
  [{ admission: 'accept', setLabels: { a: 'b' } }, /rule 1 has no condition/],
  [{ mac: '52', subnet: '10.0.0.0/8' }, /rule 1 has neither an admission nor setLabels/],
])('%j is CONFIG_INVALID', (rule, message) => {
  expect(() => checkRules({ rules: [rule] })).toThrow(
    expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringMatching(message) }),
  );
});

test.each(['a b', '', 'ü'])('%j names no label', (key) =>
  expect(Check(DiscoveryOptions, { rules: [{ mac: '52', setLabels: { [key]: 'v' } }] })).toBe(false),
);
