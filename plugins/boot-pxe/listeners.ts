/** The sockets of one interface: DHCP, boot server (4011), TFTP; packets in, replies out. */

import type dgram from 'node:dgram';
import type { Log } from '@overdub/core/agent';
import {
  type DhcpPacket,
  decodeDhcp,
  encodeDhcp,
  interfaceMtu,
  type LinkSocket,
  openLinkSocket,
  payloadBudget,
  startTftpServer,
  type TftpReport,
  type TftpServer,
  UdpError,
  udpFrame,
} from '@overdub/lib-netboot';
import type { Desk } from './desk.ts';
import { openPort, portError } from './ports.ts';
import { handleBootServer } from './proxy.ts';
import type { Destination, Reply } from './reply.ts';
import type { Site } from './sites.ts';
import { SmallFiles } from './small-files.ts';

/** Answers under way at one time; what comes beyond is dropped, and clients ask again. */
const MAX_PENDING = 4096;
/** Of IP, UDP and TFTP, bytes. */
const TFTP_HEADERS = { ipv4: 32, ipv6: 52 } as const;

/** Makes a reply out of a request, or none. */
export type Handler = (
  packet: DhcpPacket,
  from: { address: string; port: number },
) => Promise<Reply | undefined>;

/** Opens DHCP and boot-server ports. Everything that was opened is in `opened`, also when it rejects. */
export async function listenDhcp(
  desk: Desk,
  handler: Handler,
  opened: (() => Promise<void>)[],
): Promise<void> {
  const { site, ports } = desk;
  const dhcp = await openPort({ interface: site.interface, port: ports.server }, 'DHCP');
  opened.push(() => closed(dhcp));
  const bootServer = await openPort({ interface: site.interface, port: ports.proxy }, 'PXE boot server');
  opened.push(() => closed(bootServer));
  const link = desk.unicasts ? await openLink(desk) : undefined;
  if (link !== undefined) opened.push(async () => link.close());
  serve(dhcp, handler, desk, link);
  serve(bootServer, (packet, from) => handleBootServer(packet, from, desk), desk, link);
}

/** For the quirk `unicast`; without the privilege for it those machines hear broadcasts like all others. */
async function openLink({ site, log }: Desk): Promise<LinkSocket | undefined> {
  try {
    return await openLinkSocket(site.interface, 0);
  } catch (error) {
    if (!(error instanceof UdpError)) throw error;
    log.warn({ reason: error.message }, 'the quirk `unicast` needs CAP_NET_RAW; answers go to everybody');
    return undefined;
  }
}

/** Closes a socket; resolves when it is. */
export function closed(socket: dgram.Socket): Promise<void> {
  return new Promise((resolve) => socket.close(() => resolve()));
}

function serve(socket: dgram.Socket, handler: Handler, desk: Desk, link: LinkSocket | undefined): void {
  const { log, site } = desk;
  let pending = 0;
  socket.on('error', (error) =>
    log.error({ interface: site.interface, error: error.message }, 'DHCP socket failed'),
  );
  socket.on('message', (bytes, from) => {
    const { packet, problem } = decodeDhcp(bytes);
    if (problem !== undefined) log.debug({ from: from.address, problem }, 'a malformed DHCP message');
    // Our own search for other servers comes back to us.
    if (packet === undefined || packet.op !== 1 || pending >= MAX_PENDING || isOurs(packet, site.mac)) return;
    pending += 1;
    handler(packet, from)
      .then((reply) => (reply === undefined ? undefined : send({ socket, link, desk }, packet, reply)))
      .catch((error: unknown) => {
        const reason = error instanceof Error ? error.message : String(error);
        log.error(
          { interface: site.interface, reason },
          'a DHCP request could not be answered; the client asks again',
        );
      })
      .finally(() => {
        pending -= 1;
      });
  });
}

function isOurs(packet: DhcpPacket, mac: string): boolean {
  return (
    mac !== '00:00:00:00:00:00' && Buffer.from(packet.chaddr).toString('hex') === mac.replaceAll(':', '')
  );
}

interface Ways {
  readonly socket: dgram.Socket;
  readonly link: LinkSocket | undefined;
  readonly desk: Desk;
}

function send({ socket, link, desk }: Ways, request: DhcpPacket, { draft, to }: Reply): Promise<void> {
  const { bytes, dropped } = encodeDhcp(draft, payloadBudget(request));
  if (dropped.length > 0) desk.log.warn({ dropped }, 'a DHCP reply has no room for all its options');
  if (to.hardware !== undefined && link !== undefined) {
    link.send(frameOf(bytes, to, to.hardware, desk));
    return Promise.resolve();
  }
  const address = to.hardware === undefined ? to.address : '255.255.255.255';
  return new Promise((resolve, reject) => {
    socket.send(bytes, to.port, address, (error) => (error ? reject(error) : resolve()));
  });
}

function frameOf(payload: Uint8Array, to: Destination, toMac: Uint8Array, { site, ports }: Desk): Uint8Array {
  return udpFrame(payload, {
    fromMac: macBytes(site),
    toMac,
    from: { address: site.address, port: ports.server },
    to,
  });
}

function macBytes({ mac }: Site): Uint8Array {
  return Uint8Array.from(mac.split(':').map((byte) => Number.parseInt(byte, 16)));
}

/** Serves the core's artifacts by TFTP on one interface: at its IPv4 address, or at the IPv6 address given. */
export async function listenTftp(desk: Desk, port: number, ipv6?: string): Promise<TftpServer> {
  const { site, netboot, log } = desk;
  const listen =
    ipv6 === undefined ? { interface: site.interface, address: site.address, port } : { address: ipv6, port };
  const files = new SmallFiles();
  const mtu = await interfaceMtu(site.interface);
  try {
    return await startTftpServer({
      listen,
      maxBlockBytes: mtu - (ipv6 === undefined ? TFTP_HEADERS.ipv4 : TFTP_HEADERS.ipv6),
      open: async (name) => {
        const artifact = await netboot.artifact(name);
        return artifact && files.fileOf(name, artifact);
      },
      onReport: (report) => logTransfer(report, log),
    });
  } catch (error) {
    throw portError(error, listen, 'TFTP');
  }
}

function logTransfer(report: TftpReport, log: Log): void {
  const { name, peer, result, bytes, milliseconds, reason } = report;
  const fields = { name, client: peer.address, bytes, milliseconds: Math.round(milliseconds), reason };
  if (result === 'done') log.info(fields, 'sent by TFTP');
  else if (result === 'aborted') log.debug(fields, 'TFTP client had enough');
  else log.warn(fields, 'TFTP transfer failed');
}
