/** IPv6 addresses of a pool: who has which. Pure memory, time given. */

import { createHash } from 'node:crypto';
import { ipv6FromNumber, ipv6Number, parseIpv6 } from '@overdub/lib-netboot';

const OFFER_MS = 60_000;
const DECLINED_MS = 3_600_000;
/** Places of the pool that are looked at for one client. */
const MOST_TRIES = 1024;

interface Hold {
  readonly owner: string;
  readonly until: number;
}

/**
 * A client's address follows from its DUID and IAID, so that it gets the same one after a restart, which forgets all
 * leases; where two would have one, the next that is free.
 */
export class AddressPool6 {
  readonly #from: bigint;
  readonly #size: bigint;
  readonly #holds = new Map<string, Hold>();

  /** Both ends belong to it; ours is nobody's. */
  constructor(pool: { readonly from: string; readonly to: string }, ours: string) {
    const [from, to] = [parseIpv6(pool.from), parseIpv6(pool.to)] as [Uint8Array, Uint8Array];
    this.#from = ipv6Number(from);
    this.#size = ipv6Number(to) - this.#from + 1n;
    this.#holds.set(ours, { owner: '', until: Number.POSITIVE_INFINITY });
  }

  contains(address: string): boolean {
    const bytes = parseIpv6(address);
    if (bytes === undefined) return false;
    const offset = ipv6Number(bytes) - this.#from;
    return offset >= 0n && offset < this.#size;
  }

  /** The client's address, held for it a minute; `wanted` if that is free. Undefined: the pool is used up. */
  offer(owner: string, wanted: string | undefined, now: number): string | undefined {
    const address = this.#choose(owner, wanted, now);
    if (address !== undefined && this.#holds.get(address)?.owner !== owner) {
      this.#holds.set(address, { owner, until: now + OFFER_MS });
    }
    return address;
  }

  /** Leases it. False when somebody else has it, or it is not of the pool. */
  lease(owner: string, address: string, until: number, now: number): boolean {
    if (!this.contains(address) || !this.#isFreeFor(owner, address, now)) return false;
    for (const [other, hold] of this.#holds)
      if (hold.owner === owner && other !== address) this.#holds.delete(other);
    this.#holds.set(address, { owner, until });
    return true;
  }

  release(owner: string, address: string): void {
    if (this.#holds.get(address)?.owner === owner) this.#holds.delete(address);
  }

  /** Somebody without a lease uses it: nobody's for an hour. */
  decline(owner: string, address: string, now: number): boolean {
    if (this.#holds.get(address)?.owner !== owner) return false;
    this.#holds.set(address, { owner: '', until: now + DECLINED_MS });
    return true;
  }

  #choose(owner: string, wanted: string | undefined, now: number): string | undefined {
    for (const [address, hold] of this.#holds) if (hold.owner === owner && hold.until > now) return address;
    if (wanted !== undefined && this.contains(wanted) && this.#isFreeFor(owner, wanted, now)) return wanted;
    const start = BigInt(`0x${createHash('sha256').update(owner).digest('hex')}`);
    for (let step = 0n; step < this.#size && step < MOST_TRIES; step++) {
      const address = ipv6FromNumber(this.#from + ((start + step) % this.#size));
      if (this.#isFreeFor(owner, address, now)) return address;
    }
    return undefined;
  }

  #isFreeFor(owner: string, address: string, now: number): boolean {
    const hold = this.#holds.get(address);
    return hold === undefined || hold.owner === owner || hold.until <= now;
  }
}
