/** One view of a machine's hardware from all that report on it, and who said what. Pure. */

import type { Machine } from './machine.ts';

/** `agent`: in ramdisk or server. `controller`: its BMC, by its power driver. `dhcp`: its firmware, while it booted. */
export type FactSource = 'agent' | 'controller' | 'dhcp';

export interface HardwareFact {
  readonly name:
    | 'vendor'
    | 'product'
    | 'serial'
    | 'uuid'
    | 'bios'
    | 'hostname'
    | 'bmc mac'
    | 'bmc firmware'
    | 'power';
  readonly value: string;
  readonly from: FactSource;
  /** Others who say something else. */
  readonly against: readonly { readonly value: string; readonly from: FactSource }[];
}

/** Who is believed before whom: the agent read the hardware itself, the controller was told once, DHCP is a claim. */
export const PRECEDENCE: readonly FactSource[] = ['agent', 'controller', 'dhcp'];

/** Every fact that somebody reports, by the first of {@link PRECEDENCE} who does, with who disagrees. */
export function hardwareOf({ facts, controller, dhcp }: Machine): readonly HardwareFact[] {
  const watts = controller?.watts;
  return [
    fact('vendor', { agent: facts?.dmi.vendor, controller: controller?.vendor }),
    fact('product', { agent: facts?.dmi.product, controller: controller?.product }),
    fact('serial', { agent: facts?.dmi.serial, controller: controller?.serial }),
    fact('uuid', { agent: facts?.uuid, controller: controller?.uuid, dhcp: dhcp?.uuid }),
    fact('bios', { controller: controller?.biosVersion }),
    fact('hostname', { dhcp: dhcp?.hostname }),
    fact('bmc mac', { controller: controller?.mac }),
    fact('bmc firmware', { controller: controller?.firmwareVersion }),
    fact('power', { controller: watts === undefined ? undefined : `${watts} W` }),
  ].flatMap((each) => each ?? []);
}

function fact(
  name: HardwareFact['name'],
  said: Partial<Record<FactSource, string | undefined>>,
): HardwareFact | undefined {
  const all = PRECEDENCE.flatMap((from) => {
    const value = said[from]?.trim() ?? '';
    return value === '' ? [] : [{ value, from }];
  });
  const [best, ...others] = all;
  if (best === undefined) return undefined;
  const against = others.filter(({ value }) => value.toLowerCase() !== best.value.toLowerCase());
  return { name, ...best, against };
}
