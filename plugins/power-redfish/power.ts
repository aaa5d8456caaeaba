/** One machine's power by its Redfish ComputerSystem (DSP0266; schema ComputerSystem v1). */

import type { Firmware, PowerControl, PowerState } from '@overdub/core/agent';
import { type Answer, ask, type Service } from './client.ts';

const SYSTEMS = '/redfish/v1/Systems';

interface ComputerSystem {
  readonly PowerState?: string;
  readonly Boot?: { readonly BootSourceOverrideMode?: string };
  readonly Actions?: {
    readonly '#ComputerSystem.Reset'?: {
      readonly target?: string;
      readonly 'ResetType@Redfish.AllowableValues'?: readonly string[];
    };
  };
}

export function redfishPower(service: Service, firmware: Firmware | undefined): PowerControl {
  const reset = async (signal: AbortSignal, types: readonly string[], unless?: PowerState): Promise<void> => {
    const { path, system } = await systemOf(service, signal);
    // A controller may refuse to switch on what is on.
    if (unless !== undefined && stateOf(system) === unless) return;
    const action = system.Actions?.['#ComputerSystem.Reset'];
    const allowed = action?.['ResetType@Redfish.AllowableValues'];
    const type = allowed === undefined ? types[0] : types.find((each) => allowed.includes(each));
    if (type === undefined) throw new Error(`it offers none of ${types.join(', ')}`);
    const target = action?.target ?? `${path}/Actions/ComputerSystem.Reset`;
    await ask(service, 'POST', ownPath(target), { body: { ResetType: type }, signal });
  };
  return {
    where: `redfish ${new URL(service.url).host}`,
    features: { off: true, cycle: true, state: true, netboot: true },
    on: (signal) => reset(signal, ['On', 'ForceOn'], 'on'),
    off: (signal) => reset(signal, ['ForceOff'], 'off'),
    cycle: (signal) => reset(signal, ['PowerCycle', 'ForceRestart']),
    state: async (signal) => stateOf((await systemOf(service, signal)).system),
    async netboot(signal) {
      const { path, system, etag } = await systemOf(service, signal);
      const mode = system.Boot?.BootSourceOverrideMode;
      const Boot = {
        BootSourceOverrideEnabled: 'Once',
        BootSourceOverrideTarget: 'Pxe',
        // Only where the service has it: the others refuse properties they do not know.
        ...(mode === undefined || firmware === undefined
          ? {}
          : { BootSourceOverrideMode: firmware === 'uefi' ? 'UEFI' : 'Legacy' }),
      };
      await ask(service, 'PATCH', path, { body: { Boot }, ifMatch: etag, signal });
    },
  };
}

/** The system that was named, else the only one. */
async function systemOf(
  service: Service,
  signal: AbortSignal,
): Promise<{ path: string; system: ComputerSystem; etag: string | undefined }> {
  const path = service.system?.replace(/\/$/, '') ?? (await onlySystem(service, signal));
  const { body, etag }: Answer = await ask(service, 'GET', path, { signal });
  if (typeof body !== 'object' || body === null) throw new Error(`${path} is no ComputerSystem`);
  const own = (body as { '@odata.etag'?: unknown })['@odata.etag'];
  return { path, system: body as ComputerSystem, etag: etag ?? (typeof own === 'string' ? own : undefined) };
}

async function onlySystem(service: Service, signal: AbortSignal): Promise<string> {
  const { body } = await ask(service, 'GET', SYSTEMS, { signal });
  const members = (body as { Members?: { '@odata.id'?: string }[] } | undefined)?.Members ?? [];
  const paths = members.flatMap((member) => member['@odata.id'] ?? []);
  const [only] = paths;
  if (only !== undefined && paths.length === 1) return ownPath(only);
  throw new Error(
    paths.length === 0
      ? 'it has no system'
      : `it has several systems, name one as \`system\`: ${paths.join(', ')}`,
  );
}

/** A path on the same service: what an answer names goes nowhere else. */
function ownPath(text: string): string {
  if (/^\/redfish\/v1\/[^\s?#\\]*$/.test(text) && !text.split('/').includes('..')) return text;
  throw new Error(`it names ${JSON.stringify(text.slice(0, 100))}, which is no path of a Redfish service`);
}

function stateOf({ PowerState: state }: ComputerSystem): PowerState {
  if (state === 'On') return 'on';
  return state === 'Off' ? 'off' : 'unknown';
}
