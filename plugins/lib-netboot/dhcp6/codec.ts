/** DHCPv6 messages on the wire (RFC 8415 §8, §9, §21.1). Decoding is total: any bytes give an answer, never an exception. */

export const MESSAGE6 = {
  solicit: 1,
  advertise: 2,
  request: 3,
  confirm: 4,
  renew: 5,
  rebind: 6,
  reply: 7,
  release: 8,
  decline: 9,
  informationRequest: 11,
  relayForward: 12,
  relayReply: 13,
} as const;

export const OPTION6 = {
  clientId: 1,
  serverId: 2,
  iaNa: 3,
  iaAddress: 5,
  requested: 6,
  preference: 7,
  relayMessage: 9,
  status: 13,
  rapidCommit: 14,
  userClass: 15,
  vendorClass: 16,
  interfaceId: 18,
  dns: 23,
  /** RFC 5970: what to boot, its parameters, and who asks. */
  bootFileUrl: 59,
  bootFileParameters: 60,
  clientArchitecture: 61,
  /** RFC 6939. */
  linkLayerAddress: 79,
} as const;

/** In the order of the message; one code may come several times (§21). */
export type Options6 = readonly (readonly [code: number, value: Uint8Array])[];

/** Of a client or a server. */
export interface Message6 {
  readonly type: number;
  readonly transaction: number;
  readonly options: Options6;
}

/** Of a relay. Addresses are sixteen bytes each. */
export interface RelayMessage6 {
  readonly type: typeof MESSAGE6.relayForward | typeof MESSAGE6.relayReply;
  readonly hops: number;
  readonly link: Uint8Array;
  readonly peer: Uint8Array;
  readonly options: Options6;
}

const HEADER = 4;
const RELAY_HEADER = 34;
const OPTION_HEADER = 4;

export function isRelay6(message: Message6 | RelayMessage6): message is RelayMessage6 {
  return message.type === MESSAGE6.relayForward || message.type === MESSAGE6.relayReply;
}

/** `undefined` when it is too short, or an option runs past the end: such a message is dropped (§16). */
export function decodeDhcp6(bytes: Uint8Array): Message6 | RelayMessage6 | undefined {
  const type = bytes[0];
  if (type === MESSAGE6.relayForward || type === MESSAGE6.relayReply) {
    const options = bytes.length < RELAY_HEADER ? undefined : decodeOptions6(bytes.subarray(RELAY_HEADER));
    if (options === undefined) return undefined;
    return {
      type,
      hops: bytes[1] as number,
      link: Uint8Array.from(bytes.subarray(2, 18)),
      peer: Uint8Array.from(bytes.subarray(18, 34)),
      options,
    };
  }
  if (type === undefined || bytes.length < HEADER) return undefined;
  const [, a = 0, b = 0, c = 0] = bytes;
  const options = decodeOptions6(bytes.subarray(HEADER));
  return options && { type, transaction: (a << 16) | (b << 8) | c, options };
}

/** Options behind one another; `undefined` when one runs past the end. Total. */
export function decodeOptions6(bytes: Uint8Array): Options6 | undefined {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: [number, Uint8Array][] = [];
  let at = 0;
  while (at < view.length) {
    if (at + OPTION_HEADER > view.length) return undefined;
    const end = at + OPTION_HEADER + view.readUInt16BE(at + 2);
    if (end > view.length) return undefined;
    found.push([view.readUInt16BE(at), Uint8Array.from(view.subarray(at + OPTION_HEADER, end))]);
    at = end;
  }
  return found;
}

/** The message's bytes. Throws for a value of more than 65,535 bytes. */
export function encodeDhcp6(message: Message6 | RelayMessage6): Uint8Array {
  const options = encodeOptions6(message.options);
  if (isRelay6(message)) {
    return Buffer.concat([Uint8Array.of(message.type, message.hops), message.link, message.peer, options]);
  }
  const { type, transaction } = message;
  return Buffer.concat([Uint8Array.of(type, transaction >> 16, transaction >> 8, transaction), options]);
}

/** See {@link decodeOptions6}. */
export function encodeOptions6(options: Options6): Uint8Array {
  return Buffer.concat(
    options.flatMap(([code, value]) => {
      const head = Buffer.alloc(OPTION_HEADER);
      head.writeUInt16BE(code);
      head.writeUInt16BE(value.length, 2);
      return [head, value];
    }),
  );
}

/** The first of a code. */
export function option6(options: Options6, code: number): Uint8Array | undefined {
  return options.find(([each]) => each === code)?.[1];
}
