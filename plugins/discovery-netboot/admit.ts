/** May a machine have a role? Pure. */

import type { Admission, AdmissionDecision, Sighting } from '@overdub/core';
import type { AdmissionRule, DiscoveryOptions } from './options.ts';

const ADMISSIONS: Readonly<Record<AdmissionRule['admission'], Admission>> = {
  hold: 'held',
  accept: 'accepted',
  reject: 'rejected',
};

/** The first rule that fits, else the default, with a reason for people. */
export function decideAdmission(sighting: Sighting, options: DiscoveryOptions): AdmissionDecision {
  const rule = options.rules?.find((candidate) => fits(candidate, sighting));
  if (rule !== undefined)
    return { admission: ADMISSIONS[rule.admission], reason: `the rule for ${conditions(rule)}` };
  const { admission = 'hold' } = options;
  const reason =
    admission === 'hold' ? 'waits for an administrator' : `discovery-netboot ${admission}s every machine`;
  return { admission: ADMISSIONS[admission], reason };
}

function fits(rule: AdmissionRule, sighting: Sighting): boolean {
  const mac = rule.mac?.toLowerCase().replaceAll('-', ':');
  const uuid = rule.uuid?.toLowerCase();
  // Whole bytes: 52:54:0 is no prefix, by the schema, and 52:54 does not match 52:540… by the colons.
  const macFits = mac === undefined || sighting.mac === mac || sighting.mac.startsWith(`${mac}:`);
  return macFits && (uuid === undefined || sighting.uuid === uuid) && (mac ?? uuid) !== undefined;
}

function conditions(rule: AdmissionRule): string {
  return [rule.mac && `MAC ${rule.mac}`, rule.uuid && `UUID ${rule.uuid}`].filter(Boolean).join(' and ');
}
