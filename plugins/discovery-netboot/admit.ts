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
/** What rules look at beside the sighting. */
type OnRecord = Pick<Machine, 'labels' | 'controller'>;
/** It always says something of the admission. */
export type Decided = AdmissionDecision & { readonly admission: Admission };

/**
 * The first rule with an admission that fits, else the default, with a reason for people; and the labels that it and
 * the rules before it set (of one that two of them set, the first counts). A rule about facts that are not known yet,
 * and whose other conditions fit, holds the machine until its agent, or its management controller, has reported them:
 * what comes after must not decide.
 */
export function decideAdmission(sighting: Sighting, known: OnRecord, options: DiscoveryOptions): Decided {
  let labels: Labels = {};
  for (const rule of options.rules ?? []) {
    if (!fitsIdentity(rule, sighting) || !fitsLabels(rule, { ...labels, ...known.labels })) continue;
    const fits = [fitsFacts(rule.facts, sighting.facts), fitsController(rule.controller, known.controller)];
    if (fits.includes(false)) continue;
    if (fits.includes(undefined)) {
      // One that only labels decides nothing: it has its turn when the facts are there.
      if (rule.admission === undefined) continue;
      const teller = fits[0] === undefined ? 'agent' : 'management controller';
      const reason = `waits for its ${teller}: the rule for ${conditions(rule)} needs facts`;
      return withLabels({ admission: 'held', reason }, labels);
    }
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

/** `undefined`: not known yet. */
function fitsFacts(wanted: AdmissionRule['facts'], facts: MachineFacts | undefined): boolean | undefined {
  if (wanted === undefined) return true;
  if (facts === undefined) return undefined;
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

/** `undefined`: not known yet. One that was asked and says nothing of it does not fit. */
function fitsController(
  wanted: AdmissionRule['controller'] = {},
  said: Machine['controller'],
): boolean | undefined {
  const texts = Object.entries(wanted) as [keyof typeof wanted, string][];
  if (texts.length === 0) return true;
  // The record has MAC addresses with colons.
  const wantedText = (key: string, text: string) => (key === 'mac' ? text.replaceAll('-', ':') : text);
  return said && texts.every(([key, text]) => sameText(wantedText(key, text), said[key]));
}

function sameText(wanted: string | undefined, present: string | undefined): boolean {
  return wanted === undefined || wanted.trim().toLowerCase() === present?.trim().toLowerCase();
}

function conditions({ mac, uuid, subnet, labels = {}, facts = {}, controller = {} }: AdmissionRule): string {
  const pairs = (what: object, of = ''): string[] =>
    Object.entries(what).map(([key, value]) => `${of}${key} ${value}`);
  return [
    mac && `MAC ${mac}`,
    uuid && `UUID ${uuid}`,
    subnet && `subnet ${subnet}`,
    ...pairs(labels),
    ...pairs(facts),
    ...pairs(controller, 'controller’s '),
  ]
    .filter(Boolean)
    .join(' and ');
}
