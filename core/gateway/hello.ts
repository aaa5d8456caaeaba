/** What an agent says of itself, checked before anybody believes it. */

import type { MachineFacts } from '../domain/machine.ts';
import { type Hello, PROTOCOL_VERSION } from '../domain/protocol.ts';
import { OverdubError } from '../errors.ts';
import { asObject, optionalInteger, optionalText, requiredText } from './fields.ts';

/** Longest list of disks or interfaces that is believed. */
const MAX_LIST = 256;

/** INPUT_INVALID unless it is a hello of this protocol version or the one before; ARCH_UNKNOWN. */
export function checkHello(body: unknown): Hello {
  const fields = asObject(body, 'hello');
  const protocol = optionalInteger(fields, 'protocol') ?? 0;
  if (protocol > PROTOCOL_VERSION || protocol < PROTOCOL_VERSION - 1) {
    throw new OverdubError(
      'INPUT_INVALID',
      `The agent speaks protocol ${protocol}; this appliance speaks ${PROTOCOL_VERSION}.`,
      'Boot the machine with this appliance’s ramdisk, or install the agent again.',
    );
  }
  const where = fields.where;
  if (where !== 'ramdisk' && where !== 'server') throw invalid('where must be ramdisk or server');
  const secrets = {
    ...optional('nonce', optionalText(fields, 'nonce', 200)),
    ...optional('credential', optionalText(fields, 'credential', 500)),
    ...optional('resume', optionalText(fields, 'resume', 200)),
  };
  if (Object.keys(secrets).length !== 1) throw invalid('it needs one of nonce, credential and resume');
  return {
    protocol,
    where,
    bootId: requiredText(fields, 'bootId', 100),
    ...secrets,
    ...optional('server', optionalText(fields, 'server', 63)),
    ...optional('generation', optionalInteger(fields, 'generation')),
    ...(fields.facts === undefined ? {} : { facts: checkFacts(fields.facts) }),
  };
}

/** Only the shape: what the hardware is stays a claim. */
function checkFacts(value: unknown): MachineFacts {
  const facts = asObject(value, 'facts');
  const firmware = facts.firmware;
  const arch = facts.arch;
  if (firmware !== 'bios' && firmware !== 'uefi') throw invalid('facts.firmware must be bios or uefi');
  if (arch !== 'x86_64' && arch !== 'arm64') throw unknownArch(arch);
  for (const list of ['disks', 'nics'] as const) {
    const items = facts[list];
    if (!Array.isArray(items) || items.length > MAX_LIST) throw invalid(`facts.${list} must be a list`);
    for (const item of items) {
      const piece = asObject(item, `facts.${list}`);
      requiredText(piece, 'name', 100);
      checkDevices(piece.devices, `facts.${list}.devices`);
    }
  }
  for (const nic of facts.nics as Record<string, unknown>[]) requiredText(nic, 'mac', 30);
  asObject(facts.cpu, 'facts.cpu');
  asObject(facts.dmi, 'facts.dmi');
  if (optionalInteger(facts, 'memoryBytes') === undefined) throw invalid('facts.memoryBytes is missing');
  return value as MachineFacts;
}

function checkDevices(value: unknown, what: string): void {
  if (value === undefined) return;
  if (!Array.isArray(value) || value.length > MAX_LIST) throw invalid(`${what} must be a list`);
  for (const item of value) {
    const device = asObject(item, what);
    requiredText(device, 'modalias', 500);
    requiredText(device, 'module', 100);
  }
}

function optional<K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { readonly [P in K]?: V });
}

function unknownArch(arch: unknown): OverdubError {
  const named = JSON.stringify(arch)?.slice(0, 50) ?? 'none';
  return new OverdubError(
    'ARCH_UNKNOWN',
    `The agent reports the processor architecture ${named}, which is not supported.`,
    'Use a machine with an x86_64 or arm64 processor.',
  );
}

function invalid(what: string): OverdubError {
  return new OverdubError(
    'INPUT_INVALID',
    `The agent's hello is malformed: ${what}.`,
    'Compare the versions of agent and appliance; boot the current ramdisk.',
  );
}
