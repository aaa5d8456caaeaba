/** The magic packet (AMD, "Magic Packet Technology", 1995). */

/**
 * Six bytes of 255, then the hardware address sixteen times, then the SecureOn password, if the card has one.
 * @param mac lower-case, colon-separated
 */
export function magicPacket(mac: string, secureOn?: string): Uint8Array {
  const address = macBytes(mac);
  const repeated = Array.from({ length: 16 }, () => address);
  const password = secureOn === undefined ? new Uint8Array(0) : macBytes(secureOn);
  return Buffer.concat([new Uint8Array(6).fill(255), ...repeated, password]);
}

function macBytes(text: string): Uint8Array {
  return Uint8Array.from(text.split(':').map((byte) => Number.parseInt(byte, 16)));
}
