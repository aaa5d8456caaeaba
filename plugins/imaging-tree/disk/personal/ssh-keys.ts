/** SSH host keys in OpenSSH's own format (PROTOCOL.key), made without running anything of the image. */

import { generateKeyPair, type KeyObject, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';

const generate = promisify(generateKeyPair);
const RSA_BITS = 3072;

export interface HostKey {
  /** `ed25519` or `rsa`: file names are `ssh_host_<kind>_key` and `….pub`. */
  readonly kind: 'ed25519' | 'rsa';
  readonly privateText: string;
  readonly publicText: string;
}

/** Fresh host keys of both kinds. */
export async function generateHostKeys(comment: string): Promise<HostKey[]> {
  const [ed25519, rsa] = await Promise.all([
    generate('ed25519', {}),
    generate('rsa', { modulusLength: RSA_BITS }),
  ]);
  return [
    encodeHostKey('ed25519', ed25519.privateKey, comment),
    encodeHostKey('rsa', rsa.privateKey, comment),
  ];
}

/** Writes a private key as OpenSSH does, without a passphrase. */
export function encodeHostKey(kind: HostKey['kind'], key: KeyObject, comment: string): HostKey {
  const name = kind === 'rsa' ? 'ssh-rsa' : 'ssh-ed25519';
  const jwk = key.export({ format: 'jwk' });
  const field = (value: string | undefined) => Buffer.from(value ?? '', 'base64url');
  const publicBlob =
    kind === 'rsa'
      ? Buffer.concat([text(name), number(field(jwk.e)), number(field(jwk.n))])
      : Buffer.concat([text(name), blob(field(jwk.x))]);
  const secret =
    kind === 'rsa'
      ? Buffer.concat([
          text(name),
          ...[jwk.n, jwk.e, jwk.d, jwk.qi, jwk.p, jwk.q].map((value) => number(field(value))),
        ])
      : Buffer.concat([publicBlob, blob(Buffer.concat([field(jwk.d), field(jwk.x)]))]);
  return {
    kind,
    privateText: armour(privateBlob(publicBlob, secret, comment)),
    publicText: `${name} ${publicBlob.toString('base64')} ${comment}\n`,
  };
}

function privateBlob(publicBlob: Buffer, secret: Buffer, comment: string): Buffer {
  const check = randomBytes(4);
  const inner = Buffer.concat([check, check, secret, text(comment)]);
  const padding = Buffer.from(Array.from({ length: (8 - (inner.length % 8)) % 8 }, (_, at) => at + 1));
  return Buffer.concat([
    Buffer.from('openssh-key-v1\0'),
    text('none'),
    text('none'),
    text(''),
    Buffer.from([0, 0, 0, 1]),
    blob(publicBlob),
    blob(Buffer.concat([inner, padding])),
  ]);
}

function armour(bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,70}/g) ?? [];
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines.join('\n')}\n-----END OPENSSH PRIVATE KEY-----\n`;
}

function blob(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

function text(value: string): Buffer {
  return blob(Buffer.from(value));
}

/** RFC 4251 §5 mpint: no leading zeros, but one where the sign bit would show. */
function number(bytes: Buffer): Buffer {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start += 1;
  const digits = bytes.subarray(start);
  return blob((digits[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.from([0]), digits]) : digits);
}
