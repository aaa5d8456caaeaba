/** May a machine have a role? Pure. */

import type { Admission, AdmissionDecision, Machine, MachineFacts, Sighting } from '@overdub/core';
import type { AdmissionRule, DiscoveryOptions } from './options.ts';

const ADMISSIONS: Readonly<Record<AdmissionRule['admission'], Admission>> = {
  hold: 'held',
  accept: 'accepted',
  reject: 'rejected',
};

/**
 * The first rule that fits, else the default, with a reason for people. A rule about facts that are not known yet, and
 * whose other conditions fit, holds the machine until its agent has reported them: what comes after must not decide.
 */
export function decideAdmission(
  sighting: Sighting,
  labels: Machine['labels'],
  options: DiscoveryOptions,
): AdmissionDecision {
  for (const rule of options.rules ?? []) {
    if (!fitsIdentity(rule, sighting) || !fitsLabels(rule, labels)) continue;
    if (rule.facts !== undefined && sighting.facts === undefined) {
      return {
        admission: 'held',
        reason: `waits for its agent: the rule for ${conditions(rule)} needs facts`,
      };
    }
    if (rule.facts !== undefined && !fitsFacts(rule.facts, sighting.facts as MachineFacts)) continue;
    return { admission: ADMISSIONS[rule.admission], reason: `the rule for ${conditions(rule)}` };
  }
  const { admission = 'hold' } = options;
  const reason =
    admission === 'hold' ? 'waits for an administrator' : `discovery-netboot ${admission}s every machine`;
  return { admission: ADMISSIONS[admission], reason };
}

function fitsIdentity(rule: AdmissionRule, sighting: Sighting): boolean {
  const mac = rule.mac?.toLowerCase().replaceAll('-', ':');
  const uuid = rule.uuid?.toLowerCase();
  // Whole bytes: 52:54:0 is no prefix, by the schema, and 52:54 does not match 52:540… by the colons.
  const macFits = mac === undefined || sighting.mac === mac || sighting.mac.startsWith(`${mac}:`);
  return macFits && (uuid === undefined || sighting.uuid === uuid);
}

function fitsLabels({ labels = {} }: AdmissionRule, present: Machine['labels']): boolean {
  return Object.entries(labels).every(([key, value]) => present[key] === value);
}

function fitsFacts(wanted: NonNullable<AdmissionRule['facts']>, facts: MachineFacts): boolean {
  const { arch, firmware, vendor, product, memoryGiB = 0, diskGB = 0 } = wanted;
  const largest = Math.max(0, ...facts.disks.filter(({ removable }) => !removable).map(({ bytes }) => bytes));
  return (
    (arch === undefined || arch === facts.arch) &&
    (firmware === undefined || firmware === facts.firmware) &&
    sameText(vendor, facts.dmi.vendor) &&
    sameText(product, facts.dmi.product) &&
    facts.memoryBytes >= memoryGiB * 1024 ** 3 &&
    largest >= diskGB * 1e9
  );
}

function sameText(wanted: string | undefined, present: string | undefined): boolean {
  return wanted === undefined || wanted.trim().toLowerCase() === present?.trim().toLowerCase();
}

function conditions({ mac, uuid, labels = {}, facts = {} }: AdmissionRule): string {
  const pairs = (what: object): string[] => Object.entries(what).map(([key, value]) => `${key} ${value}`);
  return [mac && `MAC ${mac}`, uuid && `UUID ${uuid}`, ...pairs(labels), ...pairs(facts)]
    .filter(Boolean)
    .join(' and ');
}
