/**
 * What may stand in a boot script (iPXE, GRUB) or a URL that firmware loads. Everything else is refused: scripts expand
 * `${…}`, split at blanks, `;` and `||`, and take quotes apart.
 */

import { isIPv6 } from 'node:net';
import { OverdubError } from '@overdub/core/agent';

const HOST = '[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?';
const PORT = '(:[1-9][0-9]{0,4})?';
const AUTHORITY = new RegExp(`^${HOST}${PORT}$`);
const BRACKETED = new RegExp(`^\\[([0-9A-Fa-f:.]{2,45})\\]${PORT}$`);
const NONCE = /^[A-Za-z0-9_-]{1,128}$/;
const ARGUMENT = /^[A-Za-z0-9_.,:=/@%+-]{1,512}$/;

/** Is this a host, with or without a port, as a Host header may carry it? */
export function isAuthority(text: string): boolean {
  const bracketed = BRACKETED.exec(text);
  return bracketed === null ? AUTHORITY.test(text) && portFits(text) : isIPv6(bracketed[1] as string);
}

function portFits(text: string): boolean {
  const port = /:(\d+)$/.exec(text);
  return port === null || Number(port[1]) <= 65535;
}

/** Passes `http://host[:port]` and `https://…` through; anything else is INPUT_INVALID. */
export function checkedBaseUrl(url: string): string {
  const match = /^https?:\/\/(.+)$/.exec(url);
  if (match !== null && isAuthority(match[1] as string)) return url;
  throw refused('base URL', url);
}

/** Passes a boot nonce through; anything else is INPUT_INVALID. */
export function checkedNonce(nonce: string): string {
  if (NONCE.test(nonce)) return nonce;
  throw refused('boot nonce', nonce);
}

/** Passes one kernel argument through; spaces, quotes, `$`, `|`, `&`, `#` and the like are INPUT_INVALID. */
export function checkedArgument(argument: string): string {
  if (ARGUMENT.test(argument)) return argument;
  throw refused('kernel argument', argument);
}

function refused(what: string, value: string): OverdubError {
  return new OverdubError(
    'INPUT_INVALID',
    `The ${what} ${JSON.stringify(value.slice(0, 80))} may not enter a boot script.`,
    'Use only letters, digits and _ . , : = / @ % + - in what machines boot with.',
  );
}
