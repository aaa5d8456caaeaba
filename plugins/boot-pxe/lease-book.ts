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

/** What became of an address; without a lease nobody has it any more. */
export interface LeaseChange {
  readonly address: string;
  readonly lease?: Lease;
}

const OFFER_MS = 60_000;

/** Leases and short-lived offers. An expired lease is kept, so that its machine gets the same address again. */
export class LeaseBook {
  readonly #byAddress = new Map<string, Lease>();
  readonly #addressOf = new Map<string, string>();
  readonly #offers = new Map<string, { readonly mac: string; readonly until: number }>();
  /** Machine → the one address it is offered. */
  readonly #offerOf = new Map<string, string>();
  #changed = new Set<string>();

  constructor(leases: Iterable<Lease> = []) {
    for (const lease of leases) this.#put(lease);
    this.#changed.clear();
  }

  /** What changed since it was asked last; whoever cannot write it down gives it back to {@link unwritten}. */
  takeChanges(): readonly LeaseChange[] {
    const addresses = [...this.#changed];
    this.#changed.clear();
    return addresses.map((address) => {
      const lease = this.#byAddress.get(address);
      return lease === undefined ? { address } : { address, lease };
    });
  }

  unwritten(changes: readonly LeaseChange[]): void {
    for (const { address } of changes) this.#changed.add(address);
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
    this.#withdraw(address);
    this.#offers.set(address, { mac, until: now + OFFER_MS });
    this.#offerOf.set(mac, address);
  }

  offerTo(mac: string, now: number): string | undefined {
    const address = this.#offerOf.get(mac) ?? '';
    return (this.#offers.get(address)?.until ?? 0) > now ? address : undefined;
  }

  withdrawOffers(mac: string): void {
    const address = this.#offerOf.get(mac);
    if (address !== undefined) this.#withdraw(address);
  }

  #withdraw(address: string): void {
    const offer = this.#offers.get(address);
    if (offer === undefined) return;
    this.#offers.delete(address);
    this.#offerOf.delete(offer.mac);
  }

  /** Binds; whoever had the address before, and whatever the machine had before, is forgotten. */
  bind(lease: Omit<Lease, 'state'>): void {
    this.withdrawOffers(lease.mac);
    this.#withdraw(lease.address);
    this.#put({ ...lease, state: 'bound' });
  }

  /** The machine says its address is in use elsewhere. False when it was not its to decline. */
  decline(address: string, mac: string, until: number): boolean {
    const mine = this.ofMachine(mac)?.address === address || this.#offers.get(address)?.mac === mac;
    if (!mine) return false;
    this.withdrawOffers(mac);
    this.#remove(address);
    this.#put({ mac, address, expiresAt: until, state: 'declined' });
    return true;
  }

  /** Gives the address back. False when it was not this machine's. */
  release(address: string, mac: string): boolean {
    if (this.#addressOf.get(mac) !== address) return false;
    this.#remove(address);
    return true;
  }

  #put(lease: Lease): void {
    this.#changed.add(lease.address);
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
    this.#changed.add(address);
    if (this.#addressOf.get(lease.mac) === address) this.#addressOf.delete(lease.mac);
  }
}
