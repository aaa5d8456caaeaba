/** One machine's power by its Redfish ComputerSystem (DSP0266; schema ComputerSystem v1). */

import type { Firmware, PowerControl, PowerState } from '@overdub/core/agent';
import type { Answer } from './client.ts';
import { redfishFacts } from './facts.ts';
import { ownPath } from './paths.ts';
import type { RedfishClient } from './session.ts';

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

export function redfishPower(client: RedfishClient, firmware: Firmware | undefined): PowerControl {
  const reset = async (signal: AbortSignal, types: readonly string[], unless?: PowerState): Promise<void> => {
    const { path, system } = await systemOf(client, signal);
    // A controller may refuse to switch on what is on.
    if (unless !== undefined && stateOf(system) === unless) return;
    const action = system.Actions?.['#ComputerSystem.Reset'];
    const allowed = action?.['ResetType@Redfish.AllowableValues'];
    const type = allowed === undefined ? types[0] : types.find((each) => allowed.includes(each));
    if (type === undefined) throw new Error(`it offers none of ${types.join(', ')}`);
    const target = action?.target ?? `${path}/Actions/ComputerSystem.Reset`;
    await client.ask('POST', ownPath(target), { body: { ResetType: type }, signal });
  };
  return {
    where: `redfish ${new URL(client.service.url).host}`,
    features: { off: true, cycle: true, state: true, netboot: true, facts: true },
    on: (signal) => reset(signal, ['On', 'ForceOn'], 'on'),
    off: (signal) => reset(signal, ['ForceOff'], 'off'),
    cycle: (signal) => reset(signal, ['PowerCycle', 'ForceRestart']),
    state: async (signal) => stateOf((await systemOf(client, signal)).system),
    facts: async (signal) => redfishFacts(client, (await systemOf(client, signal)).system, signal),
    async netboot(signal) {
      const { path, system, etag } = await systemOf(client, signal);
      const mode = system.Boot?.BootSourceOverrideMode;
      const Boot = {
        BootSourceOverrideEnabled: 'Once',
        BootSourceOverrideTarget: 'Pxe',
        // Only where the service has it: the others refuse properties they do not know.
        ...(mode === undefined || firmware === undefined
          ? {}
          : { BootSourceOverrideMode: firmware === 'uefi' ? 'UEFI' : 'Legacy' }),
      };
      await client.ask('PATCH', path, { body: { Boot }, ifMatch: etag, signal });
    },
  };
}

/** The system that was named, else the only one. */
async function systemOf(
  client: RedfishClient,
  signal: AbortSignal,
): Promise<{ path: string; system: ComputerSystem; etag: string | undefined }> {
  const path = client.service.system?.replace(/\/$/, '') ?? (await onlySystem(client, signal));
  const { body, etag }: Answer = await client.ask('GET', path, { signal });
  if (typeof body !== 'object' || body === null) throw new Error(`${path} is no ComputerSystem`);
  const own = (body as { '@odata.etag'?: unknown })['@odata.etag'];
  return { path, system: body as ComputerSystem, etag: etag ?? (typeof own === 'string' ? own : undefined) };
}

async function onlySystem(client: RedfishClient, signal: AbortSignal): Promise<string> {
  const { body } = await client.ask('GET', SYSTEMS, { signal });
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

function stateOf({ PowerState: state }: ComputerSystem): PowerState {
  if (state === 'On') return 'on';
  return state === 'Off' ? 'off' : 'unknown';
}
