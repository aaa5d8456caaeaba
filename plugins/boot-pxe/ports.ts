/** Opening the privileged ports of netbooting, with errors that say what to do. */

import type dgram from 'node:dgram';
import { OverdubError } from '@overdub/core/agent';
import { openUdp, type UdpEndpoint, UdpError } from '@overdub/lib-netboot';

/** {@link openUdp} with errors for people. */
export async function openPort(endpoint: UdpEndpoint, what: string): Promise<dgram.Socket> {
  try {
    return await openUdp(endpoint);
  } catch (error) {
    throw portError(error, endpoint, what);
  }
}

/** Turns a socket's failure into PORT_UNAVAILABLE; other errors pass. `what` names the use, as in `DHCP`. */
export function portError(error: unknown, endpoint: UdpEndpoint, what: string): unknown {
  if (!(error instanceof UdpError)) return error;
  const where = `UDP port ${endpoint.port}${endpoint.interface === undefined ? '' : ` on ${endpoint.interface}`} (${what})`;
  const { problem, remedy } = explain(error.code, endpoint);
  return new OverdubError('PORT_UNAVAILABLE', `boot-pxe: ${where} ${problem}`, remedy, {
    cause: error,
    plugin: 'boot-pxe',
  });
}

function explain(code: string, endpoint: UdpEndpoint): { problem: string; remedy: string } {
  if (code === 'EADDRINUSE') {
    return {
      problem: 'is taken by another program.',
      remedy: `Find it with: ss -lunp 'sport = :${endpoint.port}'. Stop it (often dnsmasq, isc-dhcp-server, tftpd-hpa or another Overdub), or give boot-pxe another interface.`,
    };
  }
  if (code === 'EACCES' || code === 'EPERM') {
    return {
      problem: 'needs more privilege than this process has.',
      remedy:
        'Run as root, or give the service CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE).',
    };
  }
  return {
    problem: `cannot be opened: ${code}.`,
    remedy: 'Check that the interface is there and up: ip -4 address.',
  };
}
