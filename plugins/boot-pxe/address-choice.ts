/** Which address a machine gets, and which it may keep. Pure. */

import { createHash } from 'node:crypto';
import { broadcastAddress, formatIpv4, parseIpv4, sameNetwork } from '@overdub/lib-netboot';
import type { LeaseBook } from './lease-book.ts';

/** The network that is served. */
export interface AddressPlan {
  /** Its first address: `10.0.0.0`. */
  readonly network: string;
  readonly netmask: string;
  readonly pool: { readonly from: string; readonly to: string };
  /** Ours, routers and name servers: in use, whatever the pool says. */
  readonly taken: ReadonlySet<string>;
}

/** What the core says about addresses, for one machine at one moment. */
export interface Claims {
  /** The address of the server that this machine carries, if it may have it now. */
  readonly reserved: string | undefined;
  /** Every server's address: nobody else's to lease. */
  readonly reservations: ReadonlySet<string>;
}

/** A host's address in this network, not the network's own, not one that is taken for good. */
export function isUsable(address: string, plan: AddressPlan): boolean {
  return (
    sameNetwork(address, plan.network, plan.netmask) &&
    address !== plan.network &&
    address !== broadcastAddress(plan.network, plan.netmask) &&
    !plan.taken.has(address)
  );
}

/** May the machine hold this address, from now on? The rule for every REQUEST. */
export function mayHave(
  address: string,
  mac: string,
  claims: Claims,
  plan: AddressPlan,
  book: LeaseBook,
  now: number,
): boolean {
  if (!isUsable(address, plan)) return false;
  if (address === claims.reserved) return true;
  if (claims.reservations.has(address) || !inPool(address, plan)) return false;
  return book.isFreeFor(address, mac, now);
}

/**
 * The address to offer: the reservation; else what the machine has, was offered, or asks for; else one that
 * depends on its MAC, so that it is the same again after everything was forgotten; else the one whose lease
 * ran out longest ago. `undefined` when the pool is exhausted.
 */
export function chooseAddress(
  mac: string,
  requested: string | undefined,
  claims: Claims,
  plan: AddressPlan,
  book: LeaseBook,
  now: number,
): string | undefined {
  const may = (address: string): boolean => mayHave(address, mac, claims, plan, book, now);
  const held = book.ofMachine(mac);
  const favourites = [claims.reserved, held?.address, book.offerTo(mac, now), requested];
  const favourite = favourites.find((address) => address !== undefined && may(address));
  if (favourite !== undefined) return favourite;

  const from = parseIpv4(plan.pool.from) as number;
  const size = (parseIpv4(plan.pool.to) as number) - from + 1;
  const start = createHash('sha256').update(mac).digest().readUInt32BE() % size;
  for (let step = 0; step < size; step++) {
    const address = formatIpv4(from + ((start + step) % size));
    if (!book.isRemembered(address, mac) && may(address)) return address;
  }
  return book
    .all()
    .filter((lease) => may(lease.address))
    .sort((a, b) => a.expiresAt - b.expiresAt)[0]?.address;
}

function inPool(address: string, plan: AddressPlan): boolean {
  const value = parseIpv4(address) as number;
  return value >= (parseIpv4(plan.pool.from) as number) && value <= (parseIpv4(plan.pool.to) as number);
}
