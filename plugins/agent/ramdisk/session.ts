import { OverdubError } from '@overdub/core/agent';
import { cpio } from './cpio.ts';

/** What a nonce may look like: it becomes part of a URL and of a boot script. */
export const NONCE_PATTERN = /^[A-Za-z0-9_-]{1,128}$/;

/** Where the ramdisk finds its appliance, and the single-use nonce that tells which machine it runs on. */
export interface RamdiskSession {
  /** Base URL of the appliance as this machine reaches it, no trailing slash. */
  readonly url: string;
  readonly nonce: string;
}

/**
 * The extra initrd that tells a generic ramdisk its appliance: an uncompressed newc archive of
 * `/overdub/session.json`, mode 0600, a multiple of 512 bytes. Nonces never travel on a kernel command line.
 * @throws INPUT_INVALID for a nonce or URL outside their grammar
 */
export function sessionCpio(session: RamdiskSession): Buffer {
  if (!NONCE_PATTERN.test(session.nonce)) {
    throw new OverdubError(
      'INPUT_INVALID',
      'The boot nonce has characters outside A–Z a–z 0–9 _ -, or is longer than 128.',
      'Boot the machine again to get a new one.',
    );
  }
  const url = cleanUrl(session.url);
  const content = Buffer.from(`${JSON.stringify({ url, nonce: session.nonce })}\n`);
  return cpio(
    new Map([
      ['overdub', { kind: 'directory', mode: 0o755 }],
      ['overdub/session.json', { kind: 'file', mode: 0o600, content }],
    ]),
  );
}

function cleanUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || /["\\\s]/.test(text)) {
    throw new OverdubError(
      'INPUT_INVALID',
      `${JSON.stringify(text)} is not an HTTP URL a machine could reach the appliance under.`,
      'Give a base URL such as http://10.0.0.1:7077.',
    );
  }
  return text.replace(/\/+$/, '');
}
