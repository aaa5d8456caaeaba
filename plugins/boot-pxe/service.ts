/** One running boot-pxe: opens everything, and closes what it opened. */

import { type Clock, type Log, type NetbootService, normalizeMac, OverdubError } from '@overdub/core/agent';
import { decodeDhcp, interfaceAddresses } from '@overdub/lib-netboot';
import { type Desk, oncePerMinute } from './desk.ts';
import { handleDhcp, type LeaseDesk } from './dhcp-server.ts';
import { LeaseBook } from './lease-book.ts';
import { LeaseFile } from './lease-file.ts';
import { closed, listenDhcp, listenTftp } from './listeners.ts';
import { checkPool, type PxeOptions, portsOf, type Quirks } from './options.ts';
import { findOtherServer, foreignServer, otherServerError } from './other-servers.ts';
import { openPort } from './ports.ts';
import { handleProxy } from './proxy.ts';
import { chooseSites, type Site } from './sites.ts';

const DEFAULT_LEASE_SECONDS = 43_200;
const DEFAULT_PROBE_SECONDS = 4;
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
    for (const site of chooseSites(options, interfaceAddresses(), ctx.http.port)) {
      await startSite(site, ctx, options, opened);
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
  opened: (() => Promise<void>)[],
): Promise<void> {
  const desk = deskOf(site, ctx, options);
  if (options.mode === 'server') {
    const leaseDesk = await leaseDeskOf(desk, ctx, options);
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
    firstTime: oncePerMinute(ctx.clock),
  };
}

async function leaseDeskOf(desk: Desk, ctx: PxeContext, options: PxeOptions): Promise<LeaseDesk> {
  const netmask = options.netmask ?? desk.site.netmask;
  checkPool(options, desk.site.address, netmask);
  const file = new LeaseFile(await ctx.ensureStateDir());
  const book = new LeaseBook(await file.load());
  const { router, dns = [], pool } = options;
  return {
    ...desk,
    book,
    router,
    dns,
    leaseSeconds: options.leaseSeconds ?? DEFAULT_LEASE_SECONDS,
    save: () => file.save(() => book.all()),
    foreignServer: (address) => sayForeign(address, desk),
    plan: {
      ours: desk.site.address,
      netmask,
      pool: pool as NonNullable<PxeOptions['pool']>,
      taken: new Set([...(router === undefined ? [] : [router]), ...dns]),
    },
  };
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
