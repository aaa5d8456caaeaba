/** DHCP and TFTP wire formats, a TFTP server, and UDP sockets tied to an interface. A library: no plugin, no core. */

export * from './dhcp/codes.ts';
export * from './dhcp/fields.ts';
export * from './dhcp/options.ts';
export * from './dhcp/packet.ts';
export * from './dhcp6/codec.ts';
export * from './dhcp6/fields.ts';
export * from './ipv4.ts';
export * from './ipv6.ts';
export * from './lldp/codec.ts';
export * from './lldp/listen.ts';
export type { TftpFile } from './tftp/block-reader.ts';
export {
  cleanBootName,
  decodeTftp,
  encodeError,
  encodeOptionAck,
  TFTP_ERROR,
  type TftpRequest,
} from './tftp/codec.ts';
export { negotiate, type TransferLimits, type TransferTerms } from './tftp/negotiate.ts';
export {
  startTftpServer,
  type TftpPeer,
  type TftpReport,
  type TftpServer,
  type TftpServerOptions,
} from './tftp/server.ts';
export type { TransferOutcome } from './tftp/transfer.ts';
export * from './udp/frames.ts';
export * from './udp/interfaces.ts';
export { UdpError } from './udp/libc.ts';
export { openUdp, type UdpEndpoint } from './udp/open-udp.ts';
export * from './udp/raw-socket.ts';
