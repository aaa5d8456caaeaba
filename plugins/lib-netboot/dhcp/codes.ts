/** Numbers of the DHCP option registry that netbooting needs. */

/** Option codes (RFC 2132, 3046, 3004, 4578, 5071; 175 is iPXE's own). */
export const OPTION = {
  pad: 0,
  subnetMask: 1,
  router: 3,
  dns: 6,
  hostName: 12,
  broadcastAddress: 28,
  vendorSpecific: 43,
  requestedAddress: 50,
  leaseTime: 51,
  overload: 52,
  messageType: 53,
  serverId: 54,
  parameterList: 55,
  message: 56,
  maxMessageSize: 57,
  renewalTime: 58,
  rebindingTime: 59,
  vendorClass: 60,
  clientId: 61,
  tftpServerName: 66,
  bootFile: 67,
  userClass: 77,
  relayInformation: 82,
  clientArchitecture: 93,
  clientInterface: 94,
  machineUuid: 97,
  ipxe: 175,
  pxelinuxConfig: 209,
  pxelinuxPrefix: 210,
  end: 255,
} as const;

/** Sub-options of option 82 (RFC 3046 §3, 3527, 5107). */
export const RELAY = { circuitId: 1, remoteId: 2, linkSelection: 5, serverIdOverride: 11 } as const;

/** DHCP message types (RFC 2132 §9.6). */
export const MESSAGE = {
  discover: 1,
  offer: 2,
  request: 3,
  decline: 4,
  ack: 5,
  nak: 6,
  release: 7,
  inform: 8,
} as const;

/** One of the values of {@link MESSAGE}. */
export type MessageType = (typeof MESSAGE)[keyof typeof MESSAGE];
