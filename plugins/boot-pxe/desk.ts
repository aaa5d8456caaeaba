/** What both DHCP modes share: asking the core what a caller boots, and saying things once. */

import type { Clock, Log, NetbootService } from '@overdub/core/agent';
import { bootRequest, type Caller } from './caller.ts';
import type { Ports, Quirks } from './options.ts';
import type { Site } from './sites.ts';

/** Everything a DHCP answer is made from, besides the packet. */
export interface Desk {
  readonly site: Site;
  readonly netboot: NetbootService;
  readonly clock: Clock;
  readonly log: Log;
  readonly ports: Ports;
  quirksOf(mac: string): Quirks;
  /** Does any machine have the quirk `unicast`? */
  readonly unicasts: boolean;
  /** True once per key and minute: a machine that asks every second fills no log. */
  readonly firstTime: (key: string) => boolean;
}

/** `silent`: no reply at all. `none`: nothing to boot, but a lease where we are the DHCP server. */
export type BootDecision =
  | { readonly kind: 'file'; readonly name: string }
  | { readonly kind: 'none' }
  | { readonly kind: 'silent' };

/** Asks the core, once a message. Logs why a machine that wants to boot gets nothing. */
export async function decideBoot(caller: Caller, desk: Desk): Promise<BootDecision> {
  if (caller.arch === 'unknown') {
    complain(
      caller,
      desk,
      `ARCH_UNKNOWN: ${caller.mac} boots with architecture ${caller.archCode}, which Overdub has no boot file for. ` +
        'Switch its firmware to BIOS or 64-bit UEFI network boot.',
    );
    return { kind: 'none' };
  }
  const request = bootRequest(caller, desk.site);
  if (request === undefined) return { kind: 'none' };
  const { plan, rendered } = await desk.netboot.answer(request);
  if (plan.kind === 'silent') {
    desk.log.debug({ mac: caller.mac, reason: plan.reason }, 'no answer to this machine');
    return { kind: 'silent' };
  }
  if (plan.kind === 'local') return { kind: 'none' };
  if (rendered?.kind === 'file' && fetchable(rendered.name, caller))
    return { kind: 'file', name: rendered.name };
  // Such firmware tries PXE, too: without a URL for it, it is left to that.
  if (caller.client === 'http') return { kind: 'silent' };
  complain(
    caller,
    desk,
    `DRIVER_MISSING: ${caller.mac} (${caller.client}, ${caller.arch}) is to boot the ramdisk, but no plugin has a boot file ` +
      'for it. Is boot-ipxe (or boot-grub, for arm64) in the configuration?',
  );
  return { kind: 'none' };
}

/** What a machine is told to load, once a minute. */
export function logOffer(caller: Caller, file: string, { log, firstTime }: Desk): void {
  if (!firstTime(`offer ${caller.mac} ${file}`)) return;
  log.info({ mac: caller.mac, client: caller.client, arch: caller.arch, file }, 'offering a boot file');
}

/** HTTP Boot fetches URLs only. */
function fetchable(name: string, { client }: Caller): boolean {
  return client !== 'http' || /^https?:\/\//.test(name);
}

function complain(caller: Caller, desk: Desk, message: string): void {
  if (!desk.firstTime(`${caller.mac} ${message}`)) return;
  desk.log.warn(
    { mac: caller.mac, client: caller.client, arch: caller.arch, code: caller.archCode },
    message,
  );
}

/** See {@link Desk.firstTime}. Remembers at most 4,096 keys. */
export function oncePerMinute(clock: Clock): (key: string) => boolean {
  const said = new Map<string, number>();
  return (key) => {
    const now = clock.now();
    const last = said.get(key);
    if (last !== undefined && now - last < 60_000) return false;
    if (said.size >= 4096) said.clear();
    said.set(key, now);
    return true;
  };
}
