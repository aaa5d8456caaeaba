/** Is an address that is about to be leased in use already? ARP on our own network, ICMP echo behind relays. */

import { randomInt } from 'node:crypto';
import type { Log } from '@overdub/core/agent';
import {
  ARP,
  arpProbe,
  arpSender,
  echoReplySender,
  echoRequest,
  type IcmpSocket,
  type LinkSocket,
  openIcmpSocket,
  openLinkSocket,
  UdpError,
} from '@overdub/lib-netboot';
import type { Site } from './sites.ts';

/** Asks while the client still collects offers, so that an offer waits for nothing. */
export interface ConflictProbe {
  /** Begins to ask about an address that `mac` was offered; asked again within a minute it does nothing. */
  begin(address: string, mac: string, where: 'link' | 'relayed'): void;
  /** Resolves when nothing about this address is open any more: at once when nothing was asked. */
  settled(address: string): Promise<void>;
  close(): void;
}

/** For those that do not probe. */
export const NO_PROBE: ConflictProbe = {
  begin: () => undefined,
  settled: async () => undefined,
  close: () => undefined,
};

const LOOK_EVERY_MS = 10;
const REMEMBER_MS = 60_000;
const NO_MAC = '00:00:00:00:00:00';

interface Question {
  readonly address: string;
  readonly mac: string;
  readonly done: Promise<void>;
  readonly finish: () => void;
  readonly askedAt: number;
}

export interface ProbeDeps {
  readonly site: Site;
  readonly log: Log;
  readonly waitMs: number;
  /** Somebody who is not the client answered for the address. `by` is a MAC address, or undefined behind a relay. */
  readonly onConflict: (address: string, mac: string, by: string | undefined) => void;
}

/** Opens the raw sockets. Without the privilege for them (CAP_NET_RAW) it says so once and probes nothing. */
export async function openConflictProbe(deps: ProbeDeps): Promise<ConflictProbe> {
  const { site, log } = deps;
  if (deps.waitMs === 0 || site.mac === NO_MAC) return NO_PROBE;
  try {
    const link = await openLinkSocket(site.interface, ARP);
    try {
      return new Probe(deps, link, await openIcmpSocket());
    } catch (error) {
      link.close();
      throw error;
    }
  } catch (error) {
    if (!(error instanceof UdpError)) throw error;
    log.warn(
      { interface: site.interface, reason: error.message },
      'addresses are leased without looking whether something uses them: that needs CAP_NET_RAW',
    );
    return NO_PROBE;
  }
}

class Probe implements ConflictProbe {
  readonly #deps: ProbeDeps;
  readonly #link: LinkSocket;
  readonly #icmp: IcmpSocket;
  readonly #ourMac: Uint8Array;
  readonly #echoId = randomInt(0x10000);
  readonly #open = new Map<string, Question>();
  readonly #asked = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(deps: ProbeDeps, link: LinkSocket, icmp: IcmpSocket) {
    this.#deps = deps;
    this.#link = link;
    this.#icmp = icmp;
    this.#ourMac = Uint8Array.from(deps.site.mac.split(':').map((byte) => Number.parseInt(byte, 16)));
  }

  begin(address: string, mac: string, where: 'link' | 'relayed'): void {
    const now = performance.now();
    for (const [old, at] of this.#asked) {
      if (now - at < REMEMBER_MS) break;
      this.#asked.delete(old);
    }
    if (this.#asked.has(address)) return;
    // What earlier questions left in the buffers answers nothing of now.
    if (this.#open.size === 0) this.#drain();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#asked.set(address, now);
    this.#open.set(address, { address, mac, done: promise, finish: resolve, askedAt: now });
    try {
      if (where === 'link') this.#link.send(arpProbe(this.#ourMac, address));
      else this.#icmp.send(echoRequest(this.#echoId), address);
    } catch (error) {
      this.#deps.log.debug({ address, reason: String(error) }, 'cannot ask who uses this address');
      this.#close(address);
      return;
    }
    this.#timer ??= setInterval(() => this.#look(), LOOK_EVERY_MS);
  }

  async settled(address: string): Promise<void> {
    await this.#open.get(address)?.done;
  }

  close(): void {
    for (const address of [...this.#open.keys()]) this.#close(address);
    this.#link.close();
    this.#icmp.close();
  }

  #look(): void {
    this.#drain();
    const now = performance.now();
    for (const { address, askedAt } of this.#open.values()) {
      if (now - askedAt >= this.#deps.waitMs) this.#close(address);
    }
  }

  #drain(): void {
    for (let frame = this.#link.receive(); frame !== undefined; frame = this.#link.receive()) {
      const sender = arpSender(frame);
      if (sender !== undefined && sender.mac !== this.#deps.site.mac) this.#heard(sender.address, sender.mac);
    }
    for (let packet = this.#icmp.receive(); packet !== undefined; packet = this.#icmp.receive()) {
      const address = echoReplySender(packet, this.#echoId);
      if (address !== undefined) this.#heard(address, undefined);
    }
  }

  #heard(address: string, by: string | undefined): void {
    const question = this.#open.get(address);
    if (question === undefined || question.mac === by) return;
    this.#asked.delete(address);
    this.#deps.onConflict(address, question.mac, by);
    this.#close(address);
  }

  #close(address: string): void {
    this.#open.get(address)?.finish();
    this.#open.delete(address);
    if (this.#open.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
