/** identify → admit → plan → render → artifact, for plugins that speak to booting machines. */

import type { Catalogue } from '../catalogue/catalogue.ts';
import type { BootAnswer, BootPlan, BootRequest, NetbootService } from '../contracts/boot.ts';
import type { Clock } from '../contracts/clock.ts';
import type { Log } from '../contracts/log.ts';
import { kernelArguments } from '../domain/boot.ts';
import { type DhcpFacts, type Machine, normalizeMac, normalizeUuid } from '../domain/machine.ts';
import { assertEntryPath } from '../domain/path.ts';
import type { HookCalls } from '../hooks/hooks.ts';
import { proposePlan } from './plan.ts';
import type { Sightings } from './sighting.ts';

export interface NetbootDeps {
  readonly catalogue: Catalogue;
  readonly sightings: Sightings;
  readonly hooks: HookCalls;
  readonly clock: Clock;
  readonly log: Log;
  /** What an open operation wants this machine to boot. */
  bootWish(machineId: string): 'ramdisk' | 'local' | undefined;
}

export function netbootService(deps: NetbootDeps): NetbootService {
  const { catalogue, hooks, log } = deps;
  return {
    async answer(request) {
      try {
        return await answer(deps, request);
      } catch (error) {
        log.error({ mac: request.mac, error: String(error) }, 'a booting client gets no answer');
        return { machine: undefined, plan: silent(`internal failure: ${String(error)}`) };
      }
    },
    async artifact(name) {
      if (name === '' || !isCleanName(name)) return undefined;
      return hooks.call('boot.artifact', { name });
    },
    async reservation(mac) {
      const machine = await catalogue.machines.byMac(normalizeMac(mac) ?? '');
      if (machine?.serverName === undefined) return undefined;
      const server = await catalogue.servers.get(machine.serverName);
      if (server?.machineId !== machine.id || server.generation !== machine.generation) return undefined;
      const { address, identity } = server;
      return { ...(address === undefined ? {} : { address }), hostname: identity.hostname };
    },
    reservedAddresses: () => catalogue.servers.addresses(),
  };
}

async function answer(deps: NetbootDeps, request: BootRequest): Promise<BootAnswer> {
  const mac = normalizeMac(request.mac);
  if (mac === undefined) return { machine: undefined, plan: silent(`${request.mac} is no MAC address`) };
  const machine = await deps.sightings.see({
    mac,
    ...(request.uuid === undefined ? {} : { uuid: request.uuid }),
    via: 'boot',
    ...(request.ip === undefined ? {} : { seenOn: request.ip }),
    ...(request.stage === 'script' ? {} : { dhcp: dhcpFacts(request, deps.clock.now()) }),
  });
  const plan = await planFor(deps, request, machine);
  if (plan.kind !== 'ramdisk') return { machine, plan };
  const rendered = await deps.hooks.call('boot.render', { request, machine, plan });
  if (rendered !== undefined) return { machine, plan, rendered };
  const reason = `no plugin renders the ramdisk for a ${request.client} client (${request.arch})`;
  // Most firmware that knows HTTP Boot tries PXE as well: where nobody renders it, nothing is amiss.
  const level = request.client === 'http' ? 'debug' : 'warn';
  deps.log[level]({ mac, arch: request.arch, client: request.client }, reason);
  return { machine, plan: silent(reason) };
}

/** Claims, bounded: whoever sends a packet chooses them. */
function dhcpFacts({ archCode, vendorClass, hostname, uuid }: BootRequest, now: number): DhcpFacts {
  const own = normalizeUuid(uuid);
  return {
    ...(archCode === undefined ? {} : { archCode }),
    ...(vendorClass === undefined ? {} : { vendorClass: vendorClass.slice(0, 255) }),
    ...(hostname === undefined ? {} : { hostname: hostname.slice(0, 255) }),
    ...(own === undefined ? {} : { uuid: own }),
    at: new Date(now).toISOString(),
  };
}

async function planFor(deps: NetbootDeps, request: BootRequest, machine: Machine): Promise<BootPlan> {
  const { catalogue, hooks, clock } = deps;
  const server =
    machine.serverName === undefined ? undefined : await catalogue.servers.get(machine.serverName);
  const proposed = proposePlan({ machine, server, wish: deps.bootWish(machine.id) });
  // A plugin may not lift a rejection.
  const kind =
    proposed === 'silent'
      ? proposed
      : ((await hooks.call('boot.plan', { request, machine, proposed })) ?? proposed);
  if (kind === 'silent') return silent(machine.admissionReason ?? `${machine.name} is ${machine.admission}`);
  if (kind === 'local') return { kind };
  // A DHCP answer must not wait for the disk. What takes the nonce along to the agent does: it has to be good for it
  // even when the appliance ends in this moment.
  const durability = request.stage === 'script' ? 'durable' : 'held';
  const nonce = await catalogue.nonces.mint(machine.id, clock.now(), durability);
  const cpu = request.arch === 'uefi-arm64' ? 'arm64' : 'x86_64';
  return { kind, kernelArguments: kernelArguments(cpu), nonce };
}

function silent(reason: string): BootPlan {
  return { kind: 'silent', reason };
}

function isCleanName(name: string): boolean {
  try {
    assertEntryPath(name);
    return true;
  } catch {
    return false;
  }
}
