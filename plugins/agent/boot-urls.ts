/** Under which address each booting machine reaches the appliance, remembered by its nonce. */

import { networkInterfaces } from 'node:os';

/** Nonces kept; a machine asks for its session within seconds. */
const KEPT = 10_000;

export class BootUrls {
  readonly #urls = new Map<string, string>();

  remember(nonce: string, url: string): void {
    this.#urls.set(nonce, url);
    for (const oldest of this.#urls.keys()) {
      if (this.#urls.size <= KEPT) break;
      this.#urls.delete(oldest);
    }
  }

  /** The address it booted from; after a restart of the appliance the first one of this host. */
  of(nonce: string, port: number): string {
    return this.#urls.get(nonce) ?? `http://${firstAddress()}:${port}`;
  }
}

function firstAddress(): string {
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { address, family, internal } of addresses ?? []) {
      if (family === 'IPv4' && !internal) return address;
    }
  }
  return '127.0.0.1';
}
