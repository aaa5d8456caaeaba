/** May a machine have a role? Pure. */

import type { Admission, AdmissionDecision, Machine, MachineFacts, Sighting } from '@overdub/core';
import { parseCidr, sameNetwork } from '@overdub/lib-netboot';
import type { AdmissionRule, DiscoveryOptions } from './options.ts';

const ADMISSIONS: Readonly<Record<NonNullable<AdmissionRule['admission']>, Admission>> = {
  hold: 'held',
  accept: 'accepted',
  reject: 'rejected',
};

type Labels = Machine['labels'];
/** It always says something of the admission. */
export type Decided = AdmissionDecision & { readonly admission: Admission };

/**
 * The first rule with an admission that fits, else the default, with a reason for people; and the labels that it and
 * the rules before it set (of one that two of them set, the first counts). A rule about facts that are not known yet,
 * and whose other conditions fit, holds the machine until its agent has reported them: what comes after must not
 * decide.
 */
export function decideAdmission(sighting: Sighting, present: Labels, options: DiscoveryOptions): Decided {
  let labels: Labels = {};
  for (const rule of options.rules ?? []) {
    if (!fitsIdentity(rule, sighting) || !fitsLabels(rule, { ...labels, ...present })) continue;
    if (rule.facts !== undefined && sighting.facts === undefined) {
      // One that only labels decides nothing: it has its turn when the facts are there.
      if (rule.admission === undefined) continue;
      const reason = `waits for its agent: the rule for ${conditions(rule)} needs facts`;
      return withLabels({ admission: 'held', reason }, labels);
    }
    if (rule.facts !== undefined && !fitsFacts(rule.facts, sighting.facts as MachineFacts)) continue;
    labels = { ...rule.setLabels, ...labels };
    if (rule.admission === undefined) continue;
    const reason = `the rule for ${conditions(rule)}`;
    return withLabels({ admission: ADMISSIONS[rule.admission], reason }, labels);
  }
  const { admission = 'hold' } = options;
  const reason =
    admission === 'hold' ? 'waits for an administrator' : `discovery-netboot ${admission}s every machine`;
  return withLabels({ admission: ADMISSIONS[admission], reason }, labels);
}

function withLabels(decision: Decided, labels: Labels): Decided {
  return Object.keys(labels).length === 0 ? decision : { ...decision, labels };
}

function fitsIdentity(rule: AdmissionRule, sighting: Sighting): boolean {
  const mac = rule.mac?.toLowerCase().replaceAll('-', ':');
  const uuid = rule.uuid?.toLowerCase();
  // Whole bytes: 52:54:0 is no prefix, by the schema, and 52:54 does not match 52:540… by the colons.
  const macFits = mac === undefined || sighting.mac === mac || sighting.mac.startsWith(`${mac}:`);
  return macFits && (uuid === undefined || sighting.uuid === uuid) && fitsSubnet(rule.subnet, sighting);
}

function fitsSubnet(subnet: string | undefined, { seenOn }: Sighting): boolean {
  if (subnet === undefined) return true;
  const wanted = parseCidr(subnet);
  return wanted !== undefined && seenOn !== undefined && sameNetwork(seenOn, wanted.network, wanted.netmask);
}

function fitsLabels({ labels = {} }: AdmissionRule, present: Labels): boolean {
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

function conditions({ mac, uuid, subnet, labels = {}, facts = {} }: AdmissionRule): string {
  const pairs = (what: object): string[] => Object.entries(what).map(([key, value]) => `${key} ${value}`);
  return [
    mac && `MAC ${mac}`,
    uuid && `UUID ${uuid}`,
    subnet && `subnet ${subnet}`,
    ...pairs(labels),
    ...pairs(facts),
  ]
    .filter(Boolean)
    .join(' and ');
}
