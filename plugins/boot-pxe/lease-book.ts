/** Who holds which address: pure memory, no I/O, time given. One lease a machine, one a address. */

/** A machine is its hardware address: client identifiers are duplicated by cloned machine-ids. */
export interface Lease {
  readonly mac: string;
  readonly address: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
  /** `declined`: the client found somebody else using the address. */
  readonly state: 'bound' | 'declined';
  readonly hostname?: string;
  /** Its RFC 4361 client identifier, in hex. */
  readonly clientId?: string;
}

const OFFER_MS = 60_000;

/** Leases and short-lived offers. An expired lease is kept, so that its machine gets the same address again. */
export class LeaseBook {
  readonly #byAddress = new Map<string, Lease>();
  readonly #addressOf = new Map<string, string>();
  readonly #offers = new Map<string, { readonly mac: string; readonly until: number }>();

  constructor(leases: Iterable<Lease> = []) {
    for (const lease of leases) this.#put(lease);
  }

  all(): readonly Lease[] {
    return [...this.#byAddress.values()];
  }

  /** The machine's lease, expired or not. */
  ofMachine(mac: string): Lease | undefined {
    const address = this.#addressOf.get(mac);
    return address === undefined ? undefined : this.#byAddress.get(address);
  }

  /** Who has the address now, by lease or offer; `undefined` when it is free. */
  holder(address: string, now: number): { readonly mac: string; readonly state: Lease['state'] } | undefined {
    const lease = this.#byAddress.get(address);
    if (lease !== undefined && lease.expiresAt > now) return lease;
    const offer = this.#offers.get(address);
    return offer !== undefined && offer.until > now ? { mac: offer.mac, state: 'bound' } : undefined;
  }

  /** May the machine have it: free, or its own? */
  isFreeFor(address: string, mac: string, now: number): boolean {
    const holder = this.holder(address, now);
    return holder === undefined || (holder.mac === mac && holder.state === 'bound');
  }

  /** Was the address ever leased to another machine, and not given back? */
  isRemembered(address: string, mac: string): boolean {
    const lease = this.#byAddress.get(address);
    return lease !== undefined && lease.mac !== mac;
  }

  /** Another machine with a lease and this client identifier. */
  twinOf(mac: string, clientId: string, now: number): Lease | undefined {
    for (const lease of this.#byAddress.values()) {
      if (lease.clientId === clientId && lease.mac !== mac && lease.expiresAt > now) return lease;
    }
    return undefined;
  }

  offer(address: string, mac: string, now: number): void {
    this.withdrawOffers(mac);
    this.#offers.set(address, { mac, until: now + OFFER_MS });
  }

  offerTo(mac: string, now: number): string | undefined {
    for (const [address, offer] of this.#offers) if (offer.mac === mac && offer.until > now) return address;
    return undefined;
  }

  withdrawOffers(mac: string): void {
    for (const [address, offer] of this.#offers) if (offer.mac === mac) this.#offers.delete(address);
  }

  /** Binds; whoever had the address before, and whatever the machine had before, is forgotten. */
  bind(lease: Omit<Lease, 'state'>): void {
    this.withdrawOffers(lease.mac);
    this.#offers.delete(lease.address);
    this.#put({ ...lease, state: 'bound' });
  }

  /** The machine says its address is in use elsewhere. False when it was not its to decline. */
  decline(address: string, mac: string, until: number): boolean {
    const mine = this.ofMachine(mac)?.address === address || this.#offers.get(address)?.mac === mac;
    if (!mine) return false;
    this.withdrawOffers(mac);
    this.#remove(address);
    this.#byAddress.set(address, { mac, address, expiresAt: until, state: 'declined' });
    return true;
  }

  /** Gives the address back. False when it was not this machine's. */
  release(address: string, mac: string): boolean {
    if (this.#addressOf.get(mac) !== address) return false;
    this.#remove(address);
    return true;
  }

  #put(lease: Lease): void {
    if (lease.state === 'declined') {
      this.#byAddress.set(lease.address, lease);
      return;
    }
    const before = this.#addressOf.get(lease.mac);
    if (before !== undefined) this.#remove(before);
    this.#remove(lease.address);
    this.#byAddress.set(lease.address, lease);
    this.#addressOf.set(lease.mac, lease.address);
  }

  #remove(address: string): void {
    const lease = this.#byAddress.get(address);
    if (lease === undefined) return;
    this.#byAddress.delete(address);
    if (this.#addressOf.get(lease.mac) === address) this.#addressOf.delete(lease.mac);
  }
}
