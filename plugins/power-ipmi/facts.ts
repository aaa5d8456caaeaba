/** What an IPMI controller knows of its machine: FRU inventory, device ID, LAN channel, power reading (DCMI). */

import type { ControllerFacts } from '@overdub/core/agent';

/** Runs one ipmitool command; resolves with what it prints. */
export type Ask = (...order: readonly string[]) => Promise<string>;

/**
 * A controller that does not answer to `mc info`, which every one has, rejects. The other commands are optional
 * (IPMI 2.0 appendix G): where one fails, its facts are not known.
 */
export async function ipmiFacts(ask: Ask, signal: AbortSignal): Promise<ControllerFacts> {
  const device = fieldsOf(await ask('mc', 'info'));
  const optional = async (...order: readonly string[]): Promise<Fields> => {
    try {
      return fieldsOf(await ask(...order));
    } catch {
      signal.throwIfAborted();
      return new Map();
    }
  };
  const fru = await optional('fru', 'print', '0');
  const lan = await optional('lan', 'print');
  const system = await optional('mc', 'guid');
  const power = await optional('dcmi', 'power', 'reading');
  return factsOf({ device, fru, lan, system, power });
}

type Fields = ReadonlyMap<string, string>;

interface Printed {
  readonly device: Fields;
  readonly fru: Fields;
  readonly lan: Fields;
  readonly system: Fields;
  readonly power: Fields;
}

function factsOf({ device, fru, lan, system, power }: Printed): ControllerFacts {
  const watts = /^(\d+) Watts$/.exec(power.get('Instantaneous power reading') ?? '')?.[1];
  const facts = {
    vendor: fru.get('Product Manufacturer') ?? fru.get('Board Mfg'),
    product: fru.get('Product Name') ?? fru.get('Board Product'),
    serial: fru.get('Product Serial') ?? fru.get('Chassis Serial') ?? fru.get('Board Serial'),
    uuid: system.get('System GUID'),
    mac: lan.get('MAC Address'),
    firmwareVersion: device.get('Firmware Revision'),
    watts: watts === undefined ? undefined : Number(watts),
  };
  return Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined));
}

/** `Key    : value` lines; the first of a key counts, and one without a value is none. */
export function fieldsOf(text: string): Fields {
  const fields = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [, key = '', value = ''] = /^\s*([^:]+?)\s*:\s*(.*?)\s*$/.exec(line) ?? [];
    if (key !== '' && value !== '' && !fields.has(key)) fields.set(key, value);
  }
  return fields;
}
