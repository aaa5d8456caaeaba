/** TFTP packets (RFC 1350) and options (RFC 2347, 2348, 2349, 7440) on the wire. Total: no input throws. */

/** RFC 1350 §5 and RFC 2347 error codes that this server uses or understands. */
export const TFTP_ERROR = {
  undefined: 0,
  notFound: 1,
  accessViolation: 2,
  illegalOperation: 4,
  unknownTransfer: 5,
  /** The client declines the options: a normal end, not a failure (RFC 2347). */
  optionRefused: 8,
} as const;

const OPCODE = { read: 1, write: 2, data: 3, ack: 4, error: 5, oack: 6 } as const;

/** A client's packet. `invalid` says why it is none. */
export type TftpRequest =
  | {
      readonly kind: 'read' | 'write';
      readonly name: string;
      /** Lower-case: `octet`, `netascii` … */
      readonly mode: string;
      /** Names lower-case (RFC 2347 options are case-insensitive), values as sent. */
      readonly options: ReadonlyMap<string, string>;
    }
  | { readonly kind: 'ack'; readonly block: number }
  | { readonly kind: 'error'; readonly code: number; readonly message: string }
  | { readonly kind: 'invalid'; readonly problem: string };

/** Reads one datagram's payload. */
export function decodeTftp(bytes: Uint8Array): TftpRequest {
  const packet = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (packet.length < 4) return { kind: 'invalid', problem: `only ${packet.length} bytes` };
  const opcode = packet.readUInt16BE();
  if (opcode === OPCODE.ack) return { kind: 'ack', block: packet.readUInt16BE(2) };
  if (opcode === OPCODE.error) {
    const text = packet.toString('latin1', 4);
    return { kind: 'error', code: packet.readUInt16BE(2), message: text.split('\0', 1)[0] as string };
  }
  if (opcode === OPCODE.read || opcode === OPCODE.write) {
    return decodeRequest(packet, opcode === OPCODE.read ? 'read' : 'write');
  }
  return { kind: 'invalid', problem: `opcode ${opcode}` };
}

function decodeRequest(packet: Buffer, kind: 'read' | 'write'): TftpRequest {
  const fields = packet.toString('latin1', 2).split('\0');
  // A well-formed request ends in NUL; some ROMs leave the last one out.
  if (fields.at(-1) === '') fields.pop();
  const [name, mode, ...rest] = fields;
  if (name === undefined || name === '' || mode === undefined) {
    return { kind: 'invalid', problem: 'a request without file name or mode' };
  }
  const options = new Map<string, string>();
  for (let at = 0; at + 1 < rest.length; at += 2) {
    const option = (rest[at] as string).toLowerCase();
    if (option !== '' && !options.has(option)) options.set(option, rest[at + 1] as string);
  }
  return { kind, name, mode: mode.toLowerCase(), options };
}

/** A data packet's header in the first four of `packet`'s bytes; `block` is reduced to 16 bits (rollover to 0). */
export function writeDataHeader(packet: Buffer, block: number): void {
  packet.writeUInt16BE(OPCODE.data);
  packet.writeUInt16BE(block & 0xffff, 2);
}

export function encodeOptionAck(options: ReadonlyMap<string, string>): Buffer {
  const text = [...options].map(([name, value]) => `${name}\0${value}\0`).join('');
  return Buffer.concat([Buffer.from([0, OPCODE.oack]), Buffer.from(text, 'latin1')]);
}

export function encodeError(code: number, message: string): Buffer {
  return Buffer.concat([Buffer.from([0, OPCODE.error, 0, code]), Buffer.from(`${message}\0`, 'latin1')]);
}

const MAX_NAME = 512;

/**
 * The clean relative path a client means: no leading slash, `\` as `/`, empty and `.` parts dropped, trailing
 * 0xFF cut (ROMs that read option 67 past its end). `undefined` for names that climb with `..`, hold control
 * characters, are empty, or longer than 512.
 */
export function cleanBootName(raw: string): string | undefined {
  const text = raw.replace(/[\u00ff\ufffd]+$/, '').replaceAll('\\', '/');
  if (text.length > MAX_NAME) return undefined;
  for (const character of text) {
    const code = character.codePointAt(0) as number;
    if (code < 0x20 || code === 0x7f) return undefined;
  }
  const parts = text.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.length === 0 || parts.includes('..')) return undefined;
  return parts.join('/');
}
