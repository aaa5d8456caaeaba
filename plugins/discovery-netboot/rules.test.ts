import type { MachineFacts, Sighting } from '@overdub/core';
import { Check } from 'typebox/value';
import { expect, test } from 'vitest';
import { decideAdmission } from './admit.ts';
import { type AdmissionRule, DiscoveryOptions } from './options.ts';

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
const BOOT: Sighting = { mac: '52:54:00:12:34:56', via: 'boot' };
const AGENT: Sighting = { ...BOOT, via: 'agent', facts: FACTS };
const LABELS = { rack: '3', row: 'b' };

const admission = (match: Omit<AdmissionRule, 'admission'>, sighting: Sighting = AGENT): string =>
  decideAdmission(sighting, LABELS, {
    admission: 'reject',
    rules: [{ ...match, admission: 'accept' }],
  }).admission;

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
  [{ mac: '52:54:00', labels: { rack: '3' }, facts: { memoryGiB: 1 } }, 'accepted'],
  [{ mac: '52:54:01', facts: { memoryGiB: 1 } }, 'rejected'],
])('a rule for %j: %s', (match, expected) => expect(admission(match)).toBe(expected));

test('while facts are not known, a rule about them holds the machine, whatever comes after it', () => {
  const options: DiscoveryOptions = {
    admission: 'accept',
    rules: [{ facts: { vendor: 'Shady Ltd' }, admission: 'reject' }],
  };
  expect(decideAdmission(BOOT, {}, options)).toEqual({
    admission: 'held',
    reason: 'waits for its agent: the rule for vendor Shady Ltd needs facts',
  });
  expect(decideAdmission(AGENT, {}, options).admission).toBe('accepted');
});

test('a rule about facts whose other conditions do not fit concerns nobody', () => {
  expect(admission({ mac: 'aa:bb:cc', facts: { memoryGiB: 1 } }, BOOT)).toBe('rejected');
});

test('the reason names every condition of the rule', () => {
  const rules: AdmissionRule[] = [
    { mac: '52:54:00', labels: { rack: '3' }, facts: { memoryGiB: 16 }, admission: 'accept' },
  ];
  expect(decideAdmission(AGENT, LABELS, { rules }).reason).toBe(
    'the rule for MAC 52:54:00 and rack 3 and memoryGiB 16',
  );
});

test.each([
  [{ admission: 'accept' }],
  [{ labels: {}, admission: 'accept' }],
  [{ facts: {}, admission: 'accept' }],
  [{ facts: { memory: 5 }, admission: 'accept' }],
  [{ facts: { memoryGiB: 0 }, admission: 'accept' }],
  [{ facts: { arch: 'sparc' }, admission: 'accept' }],
])('%j is no rule', (rule) => expect(Check(DiscoveryOptions, { rules: [rule] })).toBe(false));
