/** DHCPv6 on the interfaces that are served: one socket on port 547, member of the servers' group on each. */

import dgram from 'node:dgram';
import os from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { OverdubError } from '@overdub/core/agent';
import { decodeDhcp6, encodeDhcp6, isLinkLocal6, isRelay6, parseIpv6, UdpError } from '@overdub/lib-netboot';
import type { Desk } from '../desk.ts';
import { closed, listenTftp } from '../listeners.ts';
import type { Ipv6Options } from '../options.ts';
import { AddressPool6 } from './addresses.ts';
import { answer6, type Desk6 } from './answer.ts';

const PORT = { client: 546, server: 547, tftp: 69 } as const;
/** All_DHCP_Relay_Agents_and_Servers (RFC 8415 §7.1). */
const GROUP = 'ff02::1:2';
/** Answers under way at one time; what comes beyond is dropped, and clients ask again. */
const MAX_PENDING = 1024;
const DEFAULT_LEASE_SECONDS = 43_200;

/**
 * Opens the socket, and where we have a pool TFTP at the address that URLs name, by `ports.tftp`. What it opened is in
 * `opened`. CONFIG_INVALID where an interface has no address for URLs.
 */
export async function listenDhcp6(
  desks: readonly Desk[],
  options: Ipv6Options,
  ports: { readonly http: number; readonly tftp?: number },
  opened: (() => Promise<void>)[],
): Promise<void> {
  const { http, tftp = PORT.tftp } = ports;
  const served = desks.map((desk) => {
    const ours = addressOf(desk, options);
    return { desk, ours, desk6: desk6(desk, options, { ours, http, tftp }) };
  });
  const byInterface = new Map(served.map(({ desk, desk6 }) => [desk.site.interface, desk6]));
  const socket = dgram.createSocket({ type: 'udp6', ipv6Only: true });
  await new Promise<void>((resolve, reject) => {
    socket.once('error', (cause: NodeJS.ErrnoException) => reject(portError6(cause)));
    socket.bind(PORT.server, '::', resolve);
  });
  opened.push(() => closed(socket));
  for (const name of byInterface.keys()) socket.addMembership(GROUP, `::%${name}`);
  serve(socket, byInterface, desks[0] as Desk);
  if (options.pool === undefined) return;
  for (const { desk, ours } of served) {
    const server = await whenUsable(() => listenTftp(desk, tftp, ours));
    opened.push(() => server.close());
  }
}

function serve(socket: dgram.Socket, byInterface: ReadonlyMap<string, Desk6>, { log }: Desk): void {
  let pending = 0;
  socket.on('error', (error) => log.error({ error: error.message }, 'the DHCPv6 socket failed'));
  socket.on('message', (bytes, from) => {
    const desk = deskFor(from.address, byInterface);
    const message = decodeDhcp6(bytes);
    if (desk === undefined || message === undefined || pending >= MAX_PENDING) return;
    pending += 1;
    answer6(message, parseIpv6(from.address), desk)
      .then((reply) => {
        if (reply === undefined) return;
        const port = isRelay6(reply) ? PORT.server : PORT.client;
        socket.send(encodeDhcp6(reply), port, from.address, (error) => {
          if (error)
            log.warn({ to: from.address, error: error.message }, 'a DHCPv6 answer could not be sent');
        });
      })
      .catch((error: unknown) =>
        log.error({ from: from.address, error: String(error) }, 'a DHCPv6 message could not be answered'),
      )
      .finally(() => {
        pending -= 1;
      });
  });
}

/** A client speaks from a link-local address, whose zone is our interface; a relay may come from anywhere. */
function deskFor(address: string, byInterface: ReadonlyMap<string, Desk6>): Desk6 | undefined {
  const bytes = parseIpv6(address);
  if (bytes === undefined) return undefined;
  if (isLinkLocal6(bytes)) return byInterface.get(address.split('%')[1] ?? '');
  return [...byInterface.values()][0];
}

/** An address that was just given to an interface cannot be bound until nobody else claimed it (RFC 4862 §5.4). */
async function whenUsable<T>(open: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await open();
    } catch (error) {
      const { cause } = error as Error;
      if (!(cause instanceof UdpError) || cause.code !== 'EADDRNOTAVAIL' || tries >= 20) throw error;
      await sleep(250);
    }
  }
}

function addressOf({ site: { interface: name } }: Desk, options: Ipv6Options): string {
  const present = (os.networkInterfaces()[name] ?? []).filter(({ family }) => family === 'IPv6');
  const ours = present.map(({ address }) => address).find((address) => isWanted(address, options.address));
  if (ours === undefined) {
    throw new OverdubError(
      'CONFIG_INVALID',
      `boot-pxe: interface ${name} has no IPv6 address that machines could load from${options.address === undefined ? '' : ` (${options.address})`}.`,
      'Give it one that is not link-local (ip -6 address add fd00:…::1/64 dev …), or leave out the option ipv6.',
      { plugin: 'boot-pxe' },
    );
  }
  return ours;
}

interface Places {
  /** Our IPv6 address, and the ports of HTTP and TFTP there. */
  readonly ours: string;
  readonly http: number;
  readonly tftp: number;
}

function desk6(desk: Desk, options: Ipv6Options, { ours, http, tftp }: Places): Desk6 {
  const { mac } = desk.site;
  return {
    desk: { ...desk, site: { ...desk.site, baseUrl: `http://[${ours}]:${http}` } },
    tftpUrl: `tftp://[${ours}]${tftp === PORT.tftp ? '' : `:${tftp}`}/`,
    // DUID-LL (RFC 8415 §11.4): the same after a restart.
    serverId: Buffer.from(`00030001${mac.replaceAll(':', '')}`, 'hex'),
    pool: options.pool === undefined ? undefined : new AddressPool6(options.pool, ours),
    leaseSeconds: options.leaseSeconds ?? DEFAULT_LEASE_SECONDS,
    dns: options.dns ?? [],
  };
}

function isWanted(address: string, wanted: string | undefined): boolean {
  const bytes = parseIpv6(address);
  if (bytes === undefined) return false;
  if (wanted === undefined) return !isLinkLocal6(bytes);
  return Buffer.from(bytes).equals(parseIpv6(wanted) ?? Buffer.alloc(0));
}

function portError6(cause: NodeJS.ErrnoException): OverdubError {
  const taken = cause.code === 'EADDRINUSE';
  return new OverdubError(
    'PORT_UNAVAILABLE',
    `boot-pxe: UDP port ${PORT.server} (DHCPv6) ${taken ? 'is taken by another program' : `cannot be opened: ${cause.code}`}.`,
    taken
      ? `Find it with: ss -lunp 'sport = :${PORT.server}'. Stop it, or leave out the option ipv6.`
      : 'Run as root, or give the service CAP_NET_BIND_SERVICE; check that IPv6 is not disabled.',
    { cause, plugin: 'boot-pxe' },
  );
}
