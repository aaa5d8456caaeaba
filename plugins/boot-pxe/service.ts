/** One running boot-pxe: opens everything, and closes what it opened. */

import { type Clock, type Log, type NetbootService, normalizeMac, OverdubError } from '@overdub/core/agent';
import { decodeDhcp, interfaceAddresses } from '@overdub/lib-netboot';
import { openConflictProbe } from './conflict-probe.ts';
import { type Desk, oncePerMinute } from './desk.ts';
import { handleDhcp, type LeaseDesk } from './dhcp-server.ts';
import { LeaseBook } from './lease-book.ts';
import { LeaseFile } from './lease-file.ts';
import { closed, listenDhcp, listenTftp } from './listeners.ts';
import { type PxeOptions, portsOf, type Quirks } from './options.ts';
import { findOtherServer, foreignServer, otherServerError } from './other-servers.ts';
import { openPort } from './ports.ts';
import { handleProxy } from './proxy.ts';
import { chooseSites, type Site } from './sites.ts';
import { subnetsOf } from './subnets.ts';
import { listenDhcp6 } from './v6/listen.ts';

const DEFAULT_PROBE_SECONDS = 4;
const DEFAULT_CONFLICT_PROBE_MS = 300;
const CONFLICT_MS = 3_600_000;
const TFTP_PORT = 69;

/** The part of a plugin's context that this needs. */
export interface PxeContext {
  readonly netboot: NetbootService;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly http: { readonly port: number };
  ensureStateDir(): Promise<string>;
}

export interface PxeService {
  /** Closes every socket; idempotent. */
  stop(): Promise<void>;
}

/** Opens all ports of all interfaces. On failure nothing stays open. */
export async function startPxe(ctx: PxeContext, options: PxeOptions): Promise<PxeService> {
  const opened: (() => Promise<void>)[] = [];
  const stop = async (): Promise<void> => {
    for (const close of opened.splice(0).reverse()) await close();
  };
  try {
    const sites = chooseSites(options, interfaceAddresses(), ctx.http.port);
    const leases = options.mode === 'server' ? await leasesOf(sites, ctx, options, opened) : undefined;
    for (const site of sites) await startSite(site, ctx, options, leases, opened);
    if (options.ipv6 !== undefined) {
      const desks = sites.map((site) => deskOf(site, ctx, options));
      const ports = {
        http: ctx.http.port,
        ...(options.tftp?.port === undefined ? {} : { tftp: options.tftp.port }),
      };
      await listenDhcp6(desks, options.ipv6, ports, opened);
    }
    return { stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startSite(
  site: Site,
  ctx: PxeContext,
  options: PxeOptions,
  leases: Leases | undefined,
  opened: (() => Promise<void>)[],
): Promise<void> {
  const desk = deskOf(site, ctx, options);
  if (leases !== undefined) {
    const leaseDesk = await leaseDeskOf(desk, leases, options);
    opened.push(async () => leaseDesk.probe.close());
    await listenAlone(leaseDesk, ctx, options, opened);
    await listenDhcp(desk, (packet) => handleDhcp(packet, leaseDesk), opened);
  } else {
    await listenDhcp(desk, (packet) => handleProxy(packet, desk), opened);
  }
  const tftp = await listenTftp(desk, options.tftp?.port ?? TFTP_PORT);
  opened.push(() => tftp.close());
  ctx.log.info(
    {
      interface: site.interface,
      address: site.address,
      mode: options.mode ?? 'proxy',
      baseUrl: site.baseUrl,
    },
    'machines can netboot here',
  );
}

function deskOf(site: Site, ctx: PxeContext, options: PxeOptions): Desk {
  const quirks = new Map<string, Quirks>(
    Object.entries(options.quirks ?? {}).map(([mac, quirk]) => [normalizeMac(mac) ?? mac, quirk]),
  );
  return {
    site,
    netboot: ctx.netboot,
    clock: ctx.clock,
    log: ctx.log,
    ports: portsOf(options),
    quirksOf: (mac) => quirks.get(mac) ?? {},
    unicasts: [...quirks.values()].some(({ unicast }) => unicast === true),
    firstTime: oncePerMinute(ctx.clock),
  };
}

/** What all interfaces share in server mode. */
type Leases = Pick<LeaseDesk, 'subnets' | 'ours' | 'book' | 'save'>;

async function leasesOf(
  sites: readonly Site[],
  ctx: PxeContext,
  options: PxeOptions,
  opened: (() => Promise<void>)[],
): Promise<Leases> {
  const subnets = subnetsOf(options, sites);
  const file = new LeaseFile(await ctx.ensureStateDir());
  opened.push(() => file.close());
  const book = new LeaseBook(await file.load());
  await file.prepare();
  const ours = new Set(sites.map(({ address }) => address));
  return { subnets, ours, book, save: () => file.save(book) };
}

async function leaseDeskOf(desk: Desk, leases: Leases, options: PxeOptions): Promise<LeaseDesk> {
  const { site, log } = desk;
  const waitMs = options.conflictProbeMs ?? DEFAULT_CONFLICT_PROBE_MS;
  const onConflict = (address: string, mac: string, by: string | undefined): void =>
    setAside({ address, mac, by }, desk, leases);
  return {
    ...desk,
    ...leases,
    probe: await openConflictProbe({ site, log, waitMs, onConflict }),
    foreignServer: (address) => sayForeign(address, desk),
  };
}

/** An address that was just offered answers a probe: nobody gets it for an hour. */
function setAside(
  found: { readonly address: string; readonly mac: string; readonly by: string | undefined },
  desk: Desk,
  { book, save }: Leases,
): void {
  if (!book.decline(found.address, found.mac, desk.clock.now() + CONFLICT_MS)) return;
  desk.log.warn(found, 'an address of the pool is in use by something that has no lease for it; set aside');
  save().catch((error: unknown) =>
    desk.log.error({ reason: String(error) }, 'the address set aside could not be written down'),
  );
}

/** Fails when another server answers now; later ones are logged. */
async function listenAlone(
  desk: LeaseDesk,
  ctx: PxeContext,
  options: PxeOptions,
  opened: (() => Promise<void>)[],
): Promise<void> {
  const { site, ports, clock } = desk;
  const seconds = options.probeSeconds ?? DEFAULT_PROBE_SECONDS;
  if (seconds === 0) return;
  let watcher: Awaited<ReturnType<typeof openPort>>;
  try {
    watcher = await openPort({ interface: site.interface, port: ports.client, share: true }, 'DHCP client');
  } catch (error) {
    if (!(error instanceof OverdubError)) throw error;
    ctx.log.warn(
      { reason: error.message },
      'cannot look for other DHCP servers: a DHCP client runs on this interface',
    );
    return;
  }
  opened.push(() => closed(watcher));
  watcher.on('error', (error) =>
    ctx.log.error({ error: error.message }, 'the watch for other DHCP servers failed'),
  );
  const other = await findOtherServer(watcher, site, { ports, seconds, clock, signal: ctx.signal });
  if (other !== undefined) throw otherServerError(other, site);
  watcher.on('message', (bytes) => {
    const address = foreignServer(decodeDhcp(bytes).packet, site.address);
    if (address !== undefined) sayForeign(address, desk);
  });
}

function sayForeign(address: string, desk: Desk): void {
  if (!desk.firstTime(`foreign ${address}`)) return;
  const { message, remedy } = otherServerError(address, desk.site);
  desk.log.error({ server: address, interface: desk.site.interface }, `${message} ${remedy}`);
}
