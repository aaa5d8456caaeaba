/** What a Redfish service knows of its machine (schemas ComputerSystem, Manager, EthernetInterface, Power). */

import type { ControllerFacts } from '@overdub/core/agent';
import { RedfishError } from './client.ts';
import { ownPath } from './paths.ts';
import type { RedfishClient } from './session.ts';

type Resource = Readonly<Record<string, unknown>>;

/** From the system itself, its manager, and its chassis; what the service does not have is left out. */
export async function redfishFacts(
  client: RedfishClient,
  system: object,
  signal: AbortSignal,
): Promise<ControllerFacts> {
  const get = (path: string | undefined): Promise<Resource> => optionalResource(client, path, signal);
  const computer = system as Resource;
  const links = resource(computer.Links);
  const manager = await get(firstOf(links.ManagedBy));
  const interfaces = await get(pathOf(manager.EthernetInterfaces));
  const port = await get(firstOf(interfaces.Members));
  const chassis = await get(firstOf(links.Chassis));
  const power = await get(pathOf(chassis.Power));
  const [control] = Array.isArray(power.PowerControl) ? (power.PowerControl as unknown[]) : [];
  const watts = resource(control).PowerConsumedWatts;
  const texts = {
    vendor: computer.Manufacturer,
    product: computer.Model,
    serial: computer.SerialNumber,
    uuid: computer.UUID,
    biosVersion: computer.BiosVersion,
    mac: port.PermanentMACAddress ?? port.MACAddress,
    firmwareVersion: manager.FirmwareVersion,
  };
  return {
    ...Object.fromEntries(Object.entries(texts).filter(([, value]) => typeof value === 'string')),
    ...(typeof watts === 'number' ? { watts } : {}),
  };
}

/** Empty where there is none, or the service does not show it to this user. */
async function optionalResource(
  client: RedfishClient,
  path: string | undefined,
  signal: AbortSignal,
): Promise<Resource> {
  if (path === undefined) return {};
  try {
    return resource((await client.ask('GET', ownPath(path), { signal })).body);
  } catch (error) {
    if (error instanceof RedfishError && [403, 404, 501].includes(error.status)) return {};
    throw error;
  }
}

function resource(value: unknown): Resource {
  return typeof value === 'object' && value !== null ? (value as Resource) : {};
}

function pathOf(link: unknown): string | undefined {
  const path = resource(link)['@odata.id'];
  return typeof path === 'string' ? path : undefined;
}

function firstOf(links: unknown): string | undefined {
  return Array.isArray(links) ? pathOf(links[0]) : undefined;
}
